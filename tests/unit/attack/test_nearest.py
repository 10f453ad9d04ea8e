"""What the attacks that shrink their perturbation find, against closed forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.attack.carlini_wagner import CarliniWagner
from hauberk.attack.deepfool import DeepFool
from hauberk.attack.fab import FAB
from hauberk.attack.fmn import FMN
from hauberk.attack.nearest import distances
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.task import Classification
from hauberk.core.threat import Norm, ThreatModel
from hauberk.testing.models import ToyModel, linear_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
TASK = Classification()
SHAPE = (1, 4, 4)
DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}


def _toy(n: int = 24) -> tuple[ToyModel, Batch, torch.Tensor]:
    """A linear model of two classes, and the slope of its margin at each sample."""
    module = linear_module(seed=4, shape=SHAPE)
    x = 0.5 + 0.1 * (torch.rand((n, *SHAPE), generator=torch.Generator().manual_seed(1)) - 0.5)
    with torch.no_grad():
        y = module(x).argmax(1)
        weight = module[1].weight  # type: ignore[index]
        slope = weight[y] - weight[1 - y]
    return ToyModel(module), Batch(x=x, y=y, index=np.arange(n)), slope


@pytest.mark.parametrize(
    ("attack", "norm", "slack"),
    [
        (FAB(steps=10, nearest=True), "linf", 0.02),
        (FAB(steps=10, nearest=True), "l2", 0.02),
        (FAB(steps=10, nearest=True), "l1", 0.02),
        (DeepFool(nearest=True), "linf", 0.06),
        (DeepFool(nearest=True), "l2", 0.06),
        (FMN(steps=100, nearest=True), "linf", 0.05),
        (FMN(steps=100, nearest=True), "l2", 0.02),
        (FMN(steps=100, nearest=True), "l1", 0.10),
        (CarliniWagner(searches=6, rate=0.01, nearest=True), "l2", 0.10),
    ],
)
def test_the_nearest_point_of_a_linear_model(attack: Attack, norm: Norm, slack: float) -> None:
    model, batch, slope = _toy()
    with torch.no_grad():
        margin = TASK.margin(model(batch.x), batch.y)
    exact = margin / torch.linalg.vector_norm(slope, ord=DUAL[norm], dim=1)
    found = distances(attack, model, batch, norm=norm, task=TASK, rng=np.random.default_rng(0))
    assert bool((found >= exact * (1 - 1e-4)).all()), "nearer than can be"
    ratio = (found / exact)[exact > 1e-3]
    assert float(ratio.median()) <= 1 + slack, f"median {float(ratio.median()):.3f} of the least"


def test_fmn_changes_as_few_values_as_a_linear_model_needs() -> None:
    model, batch, slope = _toy()
    with torch.no_grad():
        margin = TASK.margin(model(batch.x), batch.y)
    gain = torch.where(
        slope > 0, slope * batch.x.flatten(1), slope.abs() * (1 - batch.x.flatten(1))
    )
    reach = gain.sort(dim=1, descending=True).values.cumsum(1)
    least = (reach < margin[:, None]).sum(1) + 1
    attack = FMN(steps=200, stride=4.0, nearest=True)
    found = distances(attack, model, batch, norm="l0", task=TASK, rng=np.random.default_rng(0))
    assert bool((found >= least).all())
    assert float((found - least).float().mean()) <= 1.0


def test_what_is_wrong_untouched_is_at_no_distance() -> None:
    model, batch, _ = _toy()
    wrong = Batch(x=batch.x, y=1 - batch.y, index=batch.index)
    found = distances(
        FMN(nearest=True), model, wrong, norm="l2", task=TASK, rng=np.random.default_rng(0)
    )
    assert bool((found == 0).all())


def test_shrinking_goes_on_within_the_ball() -> None:
    """A point inside the ball is enough to fall; with ``nearest`` it is brought nearer."""
    model, batch, _ = _toy()
    threat = ThreatModel(norm="l2", eps=5.0)
    lengths = []
    for nearest in (False, True):
        points = FMN(stride=3.0, nearest=nearest)(
            model, batch, threat, task=TASK, rng=np.random.default_rng(0)
        )
        assert not bool(TASK.correct(model(points), batch.y).any())
        lengths.append((points - batch.x).flatten(1).norm(dim=1))
    assert bool((lengths[1] <= lengths[0] + 1e-6).all())
    assert float(lengths[1].sum()) < float(lengths[0].sum())


@pytest.mark.parametrize(
    "build",
    [
        lambda: FAB(steps=0),
        lambda: FAB(back=1.0),
        lambda: DeepFool(candidates=0),
        lambda: DeepFool(overshoot=1.0),
        lambda: FMN(steps=0),
        lambda: FMN(closing=1.0),
        lambda: CarliniWagner(rate=0.0),
        lambda: CarliniWagner(confidence=float("inf")),
    ],
)
def test_hyperparameters_out_of_range(build: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        build()
