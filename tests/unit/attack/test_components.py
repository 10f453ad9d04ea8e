"""What is particular to each attack; what they share is in the attack checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.attack.attack import describe
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square, _window, area
from hauberk.attack.worst import Worst
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.model import Access
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ScoresOnly, ToyModel, conv_module, linear_module, saturated

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.model import Model

TASK = Classification()


def _batch(model: ToyModel, n: int = 40, shape: tuple[int, ...] = (1, 8, 8)) -> Batch:
    x = torch.rand((n, *shape), generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    with torch.no_grad():
        model.module.eval()
        y = model(x.clone()).argmax(1)
    return Batch(x=x, y=y, index=np.arange(n))


def _run(attack: Attack, model: Model, batch: Batch, threat: ThreatModel) -> Tensor:
    return attack(model, batch, threat, task=TASK, rng=np.random.default_rng(0))


def _standing(model: ToyModel, points: Tensor, batch: Batch) -> int:
    with torch.no_grad():
        return int(TASK.correct(model(points.clone()), batch.y).sum())


@pytest.mark.parametrize(
    "build",
    [
        lambda: PGD(steps=0),
        lambda: PGD(restarts=0),
        lambda: PGD(step_size=0.0),
        lambda: PGD(step_size=float("nan")),
        lambda: PGD(restarts=2, random_start=False),
        lambda: Square(queries=0),
        lambda: Square(share=0.0),
        lambda: Square(share=1.5),
        lambda: Worst(attacks=()),
    ],
)
def test_hyperparameters_out_of_range(build: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        build()


def test_pgd_with_one_full_step_is_fgsm() -> None:
    model = ToyModel(conv_module(seed=0))
    batch, threat = _batch(model), ThreatModel(eps=0.1)
    one = PGD(steps=1, step_size=0.1, random_start=False)
    assert torch.equal(_run(one, model, batch, threat), _run(FGSM(), model, batch, threat))


def test_more_steps_and_restarts_break_more() -> None:
    model = ToyModel(conv_module(seed=2))
    batch, threat = _batch(model, 80), ThreatModel(eps=0.2)
    fgsm, few, many = (
        _standing(model, _run(attack, model, batch, threat), batch)
        for attack in (FGSM(), PGD(steps=2), PGD(steps=20, restarts=3))
    )
    assert many < few < fgsm < 80


def test_the_loss_of_a_sure_model_keeps_its_way() -> None:
    """Where the label's probability rounds to 1 the textbook form loses the label's part."""
    out = torch.tensor([[30.0, 0.0, 0.0], [0.0, 1.0, 60.0]], requires_grad=True)
    loss = TASK.loss(out, torch.tensor([0, 2]))
    (gradient,) = torch.autograd.grad(loss.sum(), out)
    exact = torch.tensor([2.0, 1.0 + np.e], dtype=torch.float64) * torch.tensor(
        [np.exp(-30.0), np.exp(-60.0)], dtype=torch.float64
    )
    assert torch.allclose(loss.double(), exact, rtol=1e-5, atol=0.0)
    own = gradient.double()[[0, 1], [0, 2]]
    assert torch.allclose(own, -exact, rtol=1e-5, atol=0.0)


def test_restarts_begin_elsewhere() -> None:
    model = ToyModel(linear_module(seed=1))
    asked: list[Tensor] = []

    class Watched(ToyModel):
        def __call__(self, x: Tensor, /) -> Tensor:
            asked.append(x.detach().clone())
            return super().__call__(x)

    attack = PGD(steps=1, step_size=1e-9, restarts=3)
    _run(attack, Watched(model.module), _batch(model, 1), ThreatModel(eps=1e-4))
    starts = asked[1::2]
    assert len(starts) == 3
    assert len({start.numpy().tobytes() for start in starts}) == 3


def test_a_saturated_model_stops_the_gradient() -> None:
    """The case that the masking evidence has to catch."""
    module = linear_module(seed=0)
    batch = _batch(ToyModel(module))
    threat = ThreatModel(eps=0.1)
    open_, masked = ToyModel(module), saturated(module)
    found = [
        _standing(model, _run(PGD(steps=10, random_start=False), model, batch, threat), batch)
        for model in (open_, masked)
    ]
    assert found[0] < found[1]


@pytest.mark.parametrize("shape", [(2, 6, 5), (5, 6), (7,), (2, 2, 3, 4)])
def test_square_takes_any_shape(shape: tuple[int, ...]) -> None:
    model = ToyModel(linear_module(seed=1, shape=shape))
    batch = _batch(model, shape=shape)
    points = _run(Square(queries=60), ScoresOnly(model), batch, ThreatModel(eps=0.15))
    assert points.shape == batch.x.shape
    assert _standing(model, points, batch) < len(batch)


@pytest.mark.parametrize("queries", [1, 2, 3])
def test_square_with_hardly_any_queries(queries: int) -> None:
    model = ToyModel(linear_module(seed=1))
    batch = _batch(model)
    counted = ScoresOnly(model)
    points = _run(Square(), counted, batch, ThreatModel(eps=0.1, queries=queries))
    assert counted.rows <= queries * len(batch)
    assert (queries == 1) == torch.equal(points, batch.x)


def test_more_queries_break_more() -> None:
    model = ToyModel(linear_module(seed=1))
    batch, threat = _batch(model), ThreatModel(eps=0.03)
    few, many = (
        _standing(model, _run(Square(queries=queries), model, batch, threat), batch)
        for queries in (3, 300)
    )
    assert many < few


def test_square_plans_for_the_budget_it_has() -> None:
    model = ToyModel(linear_module(seed=1))
    batch = _batch(model)
    planned, cut = (
        _run(Square(queries=queries), model, batch, ThreatModel(eps=0.02, queries=bound))
        for queries, bound in ((60, None), (5000, 60))
    )
    assert torch.equal(planned, cut)


def test_squares_shrink_on_the_published_schedule() -> None:
    shares = [area(0.8, progress) for progress in (0.0, 0.0011, 0.006, 0.03, 0.3, 0.9)]
    assert shares == [0.8, 0.4, 0.2, 0.1, 0.0125, 0.8 / 512]


@pytest.mark.parametrize(
    ("shape", "area", "pixels"),
    [((1, 8, 8), 0.25, 16), ((1, 8, 8), 0.0, 1), ((1, 8, 8), 1.0, 64), ((1, 1, 20), 0.5, 10)],
)
def test_windows_have_their_size_and_lie_anywhere(
    shape: tuple[int, int, int], area: float, pixels: int
) -> None:
    uniform = torch.rand((500, 2), generator=torch.Generator().manual_seed(0)) * (1 - 2**-24)
    window = torch.zeros((500, *shape), dtype=torch.bool)
    window[_window(uniform, shape, area)] = True
    assert set(window.flatten(1).sum(1).tolist()) == {pixels}
    assert bool(window.any(0).all()), "some pixel is never covered"


def test_the_worst_case_attacks_only_what_stands() -> None:
    model = ToyModel(linear_module(seed=1))
    batch, threat = _batch(model), ThreatModel(eps=0.05)
    alone = _standing(model, _run(FGSM(), model, batch, threat), batch)
    seen: list[int] = []

    class Spy:
        needs = Access.GRADIENTS

        def __call__(
            self,
            model: Model,
            batch: Batch,
            threat: ThreatModel,
            /,
            *,
            task: object,
            rng: np.random.Generator,
        ) -> Tensor:
            seen.append(len(batch))
            return batch.x.clone()

    _run(Worst(attacks=(FGSM(), Spy())), model, batch, threat)
    assert 0 < alone < len(batch)
    assert seen == [alone]


def test_the_worst_case_is_as_bad_as_each() -> None:
    model = ToyModel(conv_module(seed=2))
    batch, threat = _batch(model, 60), ThreatModel(eps=0.2)
    attacks = (FGSM(), PGD(steps=5), Square(queries=40))
    each = [_standing(model, _run(attack, model, batch, threat), batch) for attack in attacks]
    assert _standing(model, _run(Worst(attacks=attacks), model, batch, threat), batch) <= min(each)
    assert min(each) < 60


def test_the_worst_case_needs_the_most_and_shares_its_budget() -> None:
    square = Square(queries=5)
    assert Worst(attacks=(square,)).needs == Access.SCORES
    assert Worst(attacks=(square, FGSM())).needs == Access.GRADIENTS
    model = ToyModel(linear_module(seed=1))
    with pytest.raises(UserError, match="too few for 2 attacks") as caught:
        _run(Worst(attacks=(square, square)), model, _batch(model), ThreatModel(queries=4))
    assert "5" in caught.value.hint


def test_an_attack_is_described_by_plain_values() -> None:
    assert describe(Worst(attacks=(FGSM(), PGD(steps=3)))) == {
        "attack": "Worst",
        "attacks": [
            {"attack": "FGSM", "fast": False},
            {
                "attack": "PGD",
                "steps": 3,
                "restarts": 1,
                "step_size": None,
                "random_start": True,
                "fast": False,
            },
        ],
    }
