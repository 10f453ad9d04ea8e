"""Attacks on rows of tables: constraints of each kind, on networks and on trees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from hauberk.attack.ball import Ball
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.lawful import Lawful
from hauberk.attack.pgd import PGD
from hauberk.attack.sparse_rs import SparseRS
from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.errors import DataError, UserError
from hauberk.core.features import Features, Relation
from hauberk.core.model import Access, Bounds
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ToyModel, linear_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
TASK = Classification()
FREE = Features.free(5)


def _moved(features: Features, clean: list[float], wish: list[float], **ball: Any) -> list[float]:
    space = Ball(ball.get("norm", "linf"), ball.get("eps", 1.0), Bounds())
    law = Lawful(features, space)
    found = law(torch.tensor([wish]), torch.tensor([clean]))
    assert not any(
        rows.any()
        for rows in features.violations(np.array([clean], np.float32), found.numpy()).values()
    )
    return [round(value, 4) for value in found[0].tolist()]


CLEAN = [0.5, 0.25, 0.0, 1.0, 0.0]
WISH = [0.9, 0.9, 0.9, 0.4, 0.6]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, WISH),
        ({"mutable": (True, False, True, True, True)}, [0.9, 0.25, 0.9, 0.4, 0.6]),
        ({"low": (0.95, 0.95, 0, 0, 0), "high": (0.97,) * 5}, [0.95, 0.95, 0.9, 0.4, 0.6]),
        ({"reach": (0.1, 0.2, inf, inf, inf)}, [0.6, 0.45, 0.9, 0.4, 0.6]),
        ({"step": (0.25, 0.25, 0.5, 0.0, 1.0)}, [1.0, 1.0, 1.0, 0.4, 1.0]),
        ({"step": (0.25,) * 5, "reach": (0.3,) * 5}, [0.75, 0.5, 0.25, 0.75, 0.25]),
        ({"monotone": (-1, 1, 0, 1, -1)}, [0.5, 0.9, 0.9, 1.0, 0.0]),
        ({"groups": ((2, 3, 4),)}, [0.9, 0.9, 1.0, 0.0, 0.0]),
        ({"groups": ((2, 3, 4),), "reach": (inf, inf, 0.5, 0.5, 0.5)}, [0.9, 0.9, 0.0, 1.0, 0.0]),
    ],
)
def test_each_constraint(change: dict[str, Any], expected: list[float]) -> None:
    assert _moved(replace(FREE, **change), CLEAN, WISH) == pytest.approx(expected)


def test_a_relation_is_met_half_way() -> None:
    sum_of_two = Relation(columns=(0, 1), weights=(1.0, 1.0), most=1.0)
    found = _moved(replace(FREE, relations=(sum_of_two,)), CLEAN, WISH)
    assert found[:2] == pytest.approx([0.5, 0.5])
    # On a grid one of the two gives way once more; the rest stays as wished.
    grid = replace(FREE, relations=(sum_of_two,), step=(0.125, 0.125, 0, 0, 0))
    found = _moved(grid, CLEAN, [0.9, 0.7, 0.9, 0.4, 0.6])
    assert sum(found[:2]) <= 1.0
    assert found[2:] == pytest.approx([0.9, 0.4, 0.6])


def test_an_equation_moves_along_itself() -> None:
    same = Relation(columns=(0, 1), weights=(1.0, -1.0), least=0.25, most=0.25)
    found = _moved(replace(FREE, relations=(same,)), CLEAN, [0.9, 0.3, 0.0, 1.0, 0.0])
    assert found[0] - found[1] == pytest.approx(0.25, abs=1e-4)
    assert found[0] > 0.6


def test_a_category_that_changes_is_two_values() -> None:
    groups = replace(FREE, groups=((2, 3, 4),))
    assert _moved(groups, CLEAN, WISH, norm="l0", eps=2)[2:] == [1.0, 0.0, 0.0]
    assert _moved(groups, CLEAN, WISH, norm="l0", eps=1)[2:] == [0.0, 1.0, 0.0]
    assert _moved(groups, CLEAN, WISH, norm="l1", eps=1.9)[2:] == [0.0, 1.0, 0.0]


def test_no_category_is_left_alone() -> None:
    """A category that the training data lacks is all zeros."""
    groups = replace(FREE, groups=((2, 3, 4),))
    assert _moved(groups, [0.5, 0.25, 0.0, 0.0, 0.0], WISH) == [0.9, 0.9, 0.0, 0.0, 0.0]


def test_clean_rows_that_break_a_constraint_are_refused() -> None:
    sum_of_two = Relation(columns=(0, 1), weights=(1.0, 1.0), most=0.5)
    law = Lawful(replace(FREE, relations=(sum_of_two,)), Ball("linf", 1.0, Bounds()))
    with pytest.raises(DataError, match="row 1 breaks the constraint 'relation'"):
        law.check(torch.tensor([[0.25] * 5, [0.5] * 5]))
    with pytest.raises(DataError, match="5 columns"):
        law.check(torch.zeros(1, 1, 5))


@pytest.mark.parametrize(
    "build",
    [
        lambda: replace(FREE, low=(0.0,)),
        lambda: replace(FREE, low=(2.0,) * 5, high=(1.0,) * 5),
        lambda: replace(FREE, step=(-1.0,) * 5),
        lambda: replace(FREE, monotone=(2,) * 5),
        lambda: replace(FREE, groups=((0, 1), (1, 2))),
        lambda: replace(FREE, groups=((0, 5),)),
        lambda: Relation(columns=(0,), weights=(1.0, 2.0)),
        lambda: Relation(columns=(0,), weights=(1.0,), least=1, most=0),
        lambda: Features.free(0),
    ],
)
def test_impossible_constraints(build: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        build()


@dataclass(frozen=True)
class Trees:
    """A forest by its scores or its labels."""

    forest: RandomForestClassifier
    access: Access = Access.SCORES
    bounds: Bounds = field(default_factory=Bounds)

    def __call__(self, x: Tensor, /) -> Tensor:
        scores = torch.from_numpy(self.forest.predict_proba(x.numpy())).float()
        if self.access == Access.SCORES:
            return scores
        return torch.zeros_like(scores).scatter(1, scores.argmax(1, keepdim=True), 1.0)


def _table(n: int = 120) -> tuple[Batch, Features]:
    """Six numbers on grids and a category of four; a rule over them with a little of each."""
    rng = np.random.default_rng(0)
    x = np.zeros((n, 10), np.float32)
    x[:, :6] = rng.integers(0, 11, (n, 6)) / 10
    category = rng.integers(0, 4, n)
    x[:, 6:] = np.eye(4)[category]
    y = (x[:, :3].sum(1) + 0.5 * (category > 1) > 1.75).astype(np.int64)
    features = replace(
        Features.free(10),
        step=(*[0.1] * 6, *[0.0] * 4),
        groups=((6, 7, 8, 9),),
        mutable=(True, True, False, *[True] * 7),
        relations=(Relation(columns=(0, 3), weights=(1.0, 1.0), most=2.0),),
    )
    return Batch(x=torch.from_numpy(x), y=torch.from_numpy(y), index=np.arange(n)), features


@pytest.mark.parametrize(
    ("attack", "threat", "access"),
    [
        (SparseRS(queries=200), ThreatModel(norm="l0", eps=4), Access.SCORES),
        (Square(queries=200), ThreatModel(eps=1.0), Access.SCORES),
        (HopSkipJump(queries=400, looks=20), ThreatModel(norm="l2", eps=1.5), Access.LABELS),
    ],
)
def test_trees_fall_under_constraints(attack: Attack, threat: ThreatModel, access: Access) -> None:
    batch, features = _table()
    forest = RandomForestClassifier(30, random_state=0).fit(batch.x.numpy(), batch.y.numpy())
    model = Trees(forest, access)
    lawful = replace(threat, features=features)
    points = attack(model, batch, lawful, task=TASK, rng=np.random.default_rng(0))
    broken = features.violations(batch.x.numpy(), points.numpy())
    assert not any(rows.any() for rows in broken.values())
    assert bool(Ball(threat.norm, threat.eps, Bounds()).contains(points, batch.x).all())
    clean = TASK.correct(model(batch.x), batch.y).float().mean()
    assert float(TASK.correct(model(points), batch.y).float().mean()) < float(clean) - 0.3
    # Without constraints the same attack breaks them.
    loose = attack(model, batch, threat, task=TASK, rng=np.random.default_rng(0))
    found = features.violations(batch.x.numpy(), loose.numpy())
    assert any(rows.any() for rows in found.values())


def test_gradients_lead_over_a_grid_and_into_another_category() -> None:
    batch, features = _table()
    model = ToyModel(linear_module(seed=1, shape=(10,), classes=2))
    with torch.no_grad():
        own = Batch(x=batch.x, y=model(batch.x).argmax(1), index=batch.index)
    threat = ThreatModel(eps=1.0, features=features)
    points = PGD(steps=20)(model, own, threat, task=TASK, rng=np.random.default_rng(0))
    with torch.no_grad():
        stands = TASK.correct(model(points), own.y)
    assert float(stands.float().mean()) < 0.5
    assert not any(r.any() for r in features.violations(batch.x.numpy(), points.numpy()).values())
    assert bool((points[:, 6:] != batch.x[:, 6:]).any()), "no category changed"
