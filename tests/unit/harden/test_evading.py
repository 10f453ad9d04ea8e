"""Trees that learn from the rows that evade them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from hauberk.adapters.models.called import CalledModel
from hauberk.attack.square import Square
from hauberk.core.data import Batch, Dataset
from hauberk.core.errors import UserError
from hauberk.core.features import Features
from hauberk.core.model import Model
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.harden.evading import Evading

THREAT = ThreatModel(eps=0.15)
Rows = NDArray[np.float32]
Labels = NDArray[np.int64]


def table(n: int, seed: int) -> Dataset:
    """Column 0 tells the classes apart by a hair, columns 1 to 3 together by a wide margin."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.uniform(0, 1, (n, 6))
    x[:, 0] = 0.5 + (y - 0.5) * rng.uniform(0.02, 0.1, n)
    x[:, 1:4] = np.clip((0.1 + 0.8 * y)[:, None] + rng.normal(0, 0.22, (n, 3)), 0, 1)
    return Dataset(name="table", x=x.astype(np.float32), y=y.astype(np.int64), classes=2)


def forest(x: Rows, y: Labels) -> Model:
    trees = RandomForestClassifier(15, random_state=0, max_features=None).fit(x, y)
    return CalledModel(function=trees.predict_proba, classes=2)


def left(model: Model, data: Dataset, threat: ThreatModel) -> float:
    batch = Batch(
        x=torch.from_numpy(data.x), y=torch.from_numpy(data.y), index=np.arange(len(data))
    )
    attack, task = Square(queries=200), Classification()
    points = attack(model, batch, threat, task=task, rng=np.random.default_rng(7))
    return float(task.correct(model(points), batch.y).float().mean())


def test_what_evades_is_learned_from() -> None:
    train, validation, test = table(300, 0), table(100, 1), table(150, 2)
    plain = forest(train.x, train.y)
    hard = Evading(rounds=2, rows=300).fit(forest, train, validation, THREAT, seed=0)
    assert left(plain, test, THREAT) < 0.3
    assert left(hard, test, THREAT) > left(plain, test, THREAT) + 0.3


def watched(seen: list[tuple[Rows, Labels]]) -> Callable[[Rows, Labels], Model]:
    def learn(x: Rows, y: Labels) -> Model:
        seen.append((x, y))
        return forest(x, y)

    return learn


def test_added_rows_keep_the_constraints_and_their_labels() -> None:
    train, validation = table(120, 0), table(60, 1)
    fixed = Features(
        mutable=(False, *(True,) * 5),
        low=(0.0,) * 6,
        high=(1.0,) * 6,
        reach=(1.0,) * 6,
        step=(0.0,) * 6,
        monotone=(0,) * 6,
    )
    threat = ThreatModel(eps=0.15, features=fixed)
    seen: list[tuple[Rows, Labels]] = []
    Evading(rounds=2, rows=40).fit(watched(seen), train, validation, threat, seed=3)
    assert [len(x) for x, _ in seen] == [120, 160, 200]
    x, y = seen[-1]
    assert np.array_equal(x[:120], train.x)
    for row, label in zip(x[120:], y[120:], strict=True):
        near = np.abs(train.x - row).max(1) <= 0.15 + 1e-6
        same = near & (train.x[:, 0] == row[0]) & (train.y == label)
        assert same.any()


def test_a_round_that_costs_too_much_is_not_kept() -> None:
    """A model that forgets all once rows are added is worse than the first, which is returned."""
    made: list[Model] = []

    def learn(x: Rows, y: Labels) -> Model:
        if len(x) == 120:
            made.append(forest(x, y))
        else:
            made.append(CalledModel(function=lambda rows: np.ones((len(rows), 2)) / 2, classes=2))
        return made[-1]

    best = Evading(rounds=1, rows=40).fit(learn, table(120, 0), table(60, 1), THREAT, seed=0)
    assert best is made[0]


def test_the_same_seed_gives_the_same_rows() -> None:
    runs: list[Any] = []
    for seed in (0, 0, 1):
        seen: list[tuple[Rows, Labels]] = []
        Evading(rounds=1, rows=40).fit(
            watched(seen), table(120, 0), table(60, 1), THREAT, seed=seed
        )
        runs.append(seen[-1][0])
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("change", [{"rounds": 0}, {"rows": 0}, {"clean_drop": 1.0}])
def test_wrong_numbers_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Evading(**change)
