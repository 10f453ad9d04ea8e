from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hauberk.core.errors import UserError
from hauberk.core.features import Features
from hauberk.core.model import Bounds
from hauberk.core.threat import Norm, ThreatModel
from hauberk.harden.perturb import Perturb, frozen


def linear() -> nn.Module:
    layer = nn.Linear(12, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.ones(12), -torch.ones(12)]))
    return nn.Sequential(nn.Flatten(), layer)


def attack(norm: Norm = "linf", *, eps: float = 0.2, steps: int = 5) -> Perturb:
    return Perturb(
        threat=ThreatModel(norm=norm, eps=eps),
        bounds=Bounds(-0.5, 1.0),
        steps=steps,
        step_size=eps / 2,
        precision="float32",
    )


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["linf", "l2"]), st.floats(0.01, 3.0), st.integers(0, 99))
def test_points_stay_in_ball_and_bounds(norm: Norm, eps: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(6, 3, 4, generator=generator) * 1.5 - 0.5
    y = torch.tensor([0, 1] * 3)
    kept = x.clone()
    point = attack(norm, eps=eps)(linear(), x, y, generator)
    moved = (point - x).flatten(1)
    length = moved.abs().amax(1) if norm == "linf" else moved.norm(dim=1)
    assert (length <= eps * 1.00001 + 1e-6).all()
    assert point.min() >= -0.5
    assert point.max() <= 1.0
    assert torch.equal(x, kept)
    assert not point.requires_grad


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_worst_point_of_a_linear_model_is_found(norm: Norm) -> None:
    x = torch.full((4, 3, 4), 0.25)
    y = torch.tensor([0, 1, 0, 1])
    point = attack(norm, steps=30)(linear(), x, y, torch.Generator().manual_seed(0))
    sign = torch.tensor([-1.0, 1.0, -1.0, 1.0]).view(4, 1, 1)
    step = 0.2 if norm == "linf" else 0.2 / 12**0.5
    torch.testing.assert_close(point, x + sign * step, atol=1e-3, rtol=0)


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    module[1].weight.requires_grad = False
    before = {name: value.clone() for name, value in module.state_dict().items()}
    attack()(module.train(), torch.rand(8, 3, 4), torch.zeros(8).long(), torch.Generator())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert module.training
    assert all(part.training for part in module)
    assert [p.requires_grad for p in module.parameters()] == [False, *[True] * 5]
    assert all(p.grad is None for p in module.parameters())


def test_the_module_is_given_back_after_a_failure() -> None:
    module = linear().train()
    modes = []
    with suppress(RuntimeError), frozen(module):
        modes.append(module.training)
        raise RuntimeError
    assert modes == [False]
    assert module.training
    assert all(p.requires_grad for p in module.parameters())


@settings(deadline=None, max_examples=20)
@given(st.floats(0.0, 1.0))
def test_a_smaller_attack_stays_in_a_smaller_ball(factor: float) -> None:
    x, y = torch.full((2, 3, 4), 0.25), torch.tensor([0, 1])
    point = attack(eps=0.4).scaled(factor)(linear(), x, y, torch.Generator().manual_seed(0))
    assert float((point - x).abs().max()) == pytest.approx(0.4 * factor, rel=0.2, abs=1e-6)


def test_the_generator_alone_decides() -> None:
    def once(seed: int) -> torch.Tensor:
        torch.manual_seed(int(torch.randint(1000, ())))
        x, y = torch.full((2, 3, 4), 0.5), torch.tensor([0, 1])
        return attack(steps=1)(linear(), x, y, torch.Generator().manual_seed(seed))

    assert torch.equal(once(1), once(1))
    assert not torch.equal(once(1), once(2))


@pytest.mark.parametrize(
    ("norm", "steps", "eps"), [("l0", 1, 0.1), ("l1", 1, 0.1), ("linf", 0, 0.1), ("linf", 1, 0.0)]
)
def test_what_cannot_be_done_is_refused(norm: Norm, steps: int, eps: float) -> None:
    with pytest.raises(UserError):
        attack(norm, steps=steps, eps=eps)


def test_rows_of_a_table_keep_their_constraints() -> None:
    """Whatever the walk does, what is trained on is what an attacker may send."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(0.2, 0.8, (40, 8)).astype(np.float32)
    rows[:, 3:6] = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 40)]
    rows[:, 6] = np.round(rows[:, 6] * 4) / 4
    laws = Features(
        mutable=(True, False, True, True, True, True, True, True),
        low=(0.0,) * 8,
        high=(1.0,) * 8,
        reach=(1.0,) * 8,
        step=(0.0,) * 6 + (0.25, 0.0),
        monotone=(1, 0, -1, 0, 0, 0, 0, 0),
        groups=((3, 4, 5),),
    )
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    x, y = torch.from_numpy(rows), torch.from_numpy(rng.integers(0, 2, 40))
    generator = torch.Generator().manual_seed(0)
    losses = {}
    for eps in (0.3, 1.0):
        threat = ThreatModel(eps=eps, features=laws)
        attack = Perturb(
            threat=threat, bounds=Bounds(), steps=8, step_size=eps / 3, precision="float32"
        )
        points = attack(module, x, y, generator)
        assert not any(broken.any() for broken in laws.violations(rows, points.numpy()).values())
        assert (points - x).abs().max() <= eps + 1e-6
        assert not torch.equal(points, x)
        losses[eps] = nn.functional.cross_entropy(module(points), y).item()
    assert nn.functional.cross_entropy(module(x), y).item() < losses[0.3] < losses[1.0]
    assert (points[:, 3:6] != x[:, 3:6]).any(), "within 1 a category may change"
