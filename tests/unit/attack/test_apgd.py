from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hauberk.attack.apgd import APGD
from hauberk.attack.ensemble import Auto, Best
from hauberk.attack.margins import dlr, dlr_towards, runners_up
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import Scale, ToyModel, conv_module, linear_module, quantised

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
TASK = Classification()


def _batch(module: nn.Module, n: int = 60) -> Batch:
    x = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    with torch.no_grad():
        y = module.eval()(x.clone()).argmax(1)
    return Batch(x=x, y=y, index=np.arange(n))


def _run(attack: Attack, module: nn.Module, batch: Batch, eps: float, *, start: int = 0) -> Tensor:
    rng = np.random.default_rng(start)
    return attack(ToyModel(module), batch, ThreatModel(eps=eps), task=TASK, rng=rng)


def _standing(module: nn.Module, points: Tensor, batch: Batch) -> int:
    with torch.no_grad():
        return int(TASK.correct(module(points.clone()), batch.y).sum())


def test_dlr_against_worked_examples() -> None:
    out = torch.tensor([[4.0, 1.0, 0.0, 3.0], [0.0, 5.0, 3.0, 1.0]])
    y = torch.tensor([0, 2])
    # (3 - 4) / (4 - 1), and (5 - 3) / (5 - 1).
    assert torch.allclose(dlr(out, y), torch.tensor([-1 / 3, 0.5]))
    # Towards class 1: (1 - 4) / (4 - (1 + 0) / 2), and (5 - 3) / (5 - (1 + 0) / 2).
    near = dlr_towards(out, y, torch.tensor([1, 1]))
    assert torch.allclose(near, torch.tensor([-3 / 3.5, 2 / 4.5]))
    assert runners_up(out, y, 2).tolist() == [[3, 1], [1, 3]]
    assert runners_up(out, y, 9).shape == (2, 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_dlr_where_there_are_few_classes(classes: int) -> None:
    out = torch.tensor([[2.0, 1.0, -1.0]])[:, :classes]
    y, target = torch.tensor([0]), torch.tensor([1])
    expected = -1.0 if classes == 2 else -1 / 3
    assert dlr(out, y).item() == pytest.approx(expected)
    assert dlr_towards(out, y, target).item() == pytest.approx(expected)


def test_the_ratio_does_not_feel_the_scale_of_the_logits() -> None:
    module = conv_module(seed=2)
    batch = _batch(module)
    blown = nn.Sequential(module, Scale(2.0**14))
    attack = APGD(loss="dlr", steps=8)
    plain, scaled = (_run(attack, one, batch, 0.1) for one in (module, blown))
    with torch.no_grad():
        fell = ~TASK.correct(module(plain.clone()), batch.y)
    assert bool(fell.any())
    assert torch.equal(plain[fell], scaled[fell])
    assert _standing(module, plain, batch) == _standing(blown, scaled, batch)


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("seed", [0, 2])
def test_apgd_is_no_weaker_than_pgd_with_as_many_steps(seed: int, start: int) -> None:
    """The targeted form has three runs: one leaves 0 to 7 of 60 by its start."""
    module = conv_module(seed=seed)
    batch = _batch(module)
    for attack in (
        APGD(loss="ce", steps=20),
        APGD(loss="dlr", steps=20),
        APGD(loss="targeted", steps=20, restarts=3),
    ):
        pgd = PGD(steps=attack.steps, restarts=attack.restarts)
        left, most = (
            _standing(module, _run(one, module, batch, 0.15, start=start), batch)
            for one in (attack, pgd)
        )
        assert left <= most + 1, attack.loss


def test_the_step_is_halved_where_it_does_not_pay() -> None:
    """At a bend of a piecewise linear loss a fixed step would jump over the top for ever."""

    class Bend(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            far = (x.flatten(1) - 0.55).abs().sum(1)
            return torch.stack([far + 0.05, torch.zeros_like(far)], 1)

    x = torch.full((4, 1, 2, 2), 0.5)
    batch = Batch(x=x, y=torch.zeros(4, dtype=torch.int64), index=np.arange(4))
    points = _run(APGD(steps=60), Bend(), batch, 0.3)
    # A fixed step of twice eps would leave it 0.25 away, at the edge of the ball.
    assert float((points - 0.55).abs().max()) < 0.03


def test_the_ensembles_see_through_a_mask() -> None:
    masked = quantised(linear_module(seed=1)).module
    batch = _batch(masked)
    alone = _standing(masked, _run(APGD(steps=10), masked, batch, 0.2), batch)
    for attack in (Auto(steps=5, queries=200, fast=False), Best(steps=5, queries=200)):
        assert _standing(masked, _run(attack, masked, batch, 0.2), batch) < alone


def test_best_leaves_alone_what_is_out_of_reach() -> None:
    """With no reach the dear stages by slopes ask nothing; with all of it they do."""
    module = conv_module(seed=2)
    batch, asked = _batch(module, 20), []

    class Watched(ToyModel):
        def __call__(self, x: Tensor, /) -> Tensor:
            asked.append(len(x))
            return super().__call__(x)

    counts = []
    for reach in (0.0, 1.0):
        asked.clear()
        Best(steps=4, queries=1, reach=reach, fast=False)(
            Watched(module), batch, ThreatModel(eps=0.01), task=TASK, rng=np.random.default_rng(0)
        )
        counts.append(sum(asked))
    assert counts[0] < counts[1]


@pytest.mark.parametrize(
    "build",
    [
        lambda: APGD(steps=0),
        lambda: APGD(targets=0),
        lambda: APGD(rho=1.0),
        lambda: APGD(loss="kl"),  # type: ignore[arg-type]
        lambda: Best(reach=1.5),
        lambda: Best(queries=0),
    ],
)
def test_hyperparameters_out_of_range(build: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        build()


def test_outputs_that_are_no_logits_are_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
    batch = Batch(
        x=torch.full((2, 1, 8, 8), 0.5), y=torch.zeros(2, dtype=torch.int64), index=np.arange(2)
    )
    with pytest.raises(UserError, match="compares the logits"):
        dlr(module(batch.x), batch.y)
