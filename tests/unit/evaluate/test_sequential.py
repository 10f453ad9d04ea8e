from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.attack.ensemble import Best
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.data import Dataset
from hauberk.core.errors import DataError, UserError
from hauberk.core.interval import wilson
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.evaluate.run import Run
from hauberk.evaluate.sequential import Stop, evaluate_until, merge
from hauberk.testing.models import ToyModel, linear_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
THREAT = ThreatModel(eps=0.05)
RADII = (0.02, 0.05)
ATTACKS: dict[str, Attack] = {
    "pgd": PGD(steps=4),
    "square": Square(queries=20),
    "best": Best(steps=4, fast=False),
}


def _model() -> ToyModel:
    return ToyModel(linear_module(seed=1))


def _data(n: int = 60) -> Dataset:
    x = np.random.default_rng(0).uniform(0.2, 0.8, (n, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        y = linear_module(seed=1)(torch.from_numpy(x)).argmax(1).numpy().astype(np.int64)
    y[:6] = 1 - y[:6]
    return Dataset(name="toy", x=x, y=y, classes=2)


@pytest.mark.parametrize(("shard", "batch_size"), [(7, 256), (25, 4), (60, 11)])
def test_any_split_into_shards_gives_the_same_figures(shard: int, batch_size: int) -> None:
    whole = evaluate(_model(), _data(), THREAT, attacks=ATTACKS, eps=RADII)
    found, left_out = evaluate_until(
        _model(),
        _data(),
        THREAT,
        attacks=ATTACKS,
        eps=RADII,
        stop=Stop(shard=shard),
        run=Run(batch_size=batch_size),
    )
    assert left_out == 0
    assert found.name == whole.name
    assert found.gradient == whole.gradient
    assert np.array_equal(found.clean, whole.clean)
    for one, other in zip(found.attacks, whole.attacks, strict=True):
        assert np.array_equal(one.correct, other.correct), one.name
        assert np.array_equal(one.alone, other.alone), one.name


def test_it_stops_where_the_interval_is_narrow_enough() -> None:
    (wide, left_wide), (none, left_none) = (
        evaluate_until(
            _model(),
            _data(),
            THREAT,
            attacks={"pgd": PGD(steps=2)},
            stop=Stop(width=width, shard=5),
        )
        for width in (0.3, 0.01)
    )
    low, high = wilson(int(wide.worst(0.05).sum()), wide.n)
    assert (high - low) / 2 <= 0.3
    assert 0 < wide.n < 60
    assert left_wide == 60 - wide.n
    assert wide.name == f"toy[0:{wide.n}]"
    assert wide.conditions()["n"] == wide.n
    assert (none.n, left_none) == (60, 0)


def test_it_stops_before_the_budget_is_spent() -> None:
    ticks = count()
    told: list[tuple[int, int]] = []
    found, left_out = evaluate_until(
        _model(),
        _data(),
        THREAT,
        attacks={"pgd": PGD(steps=2)},
        stop=Stop(budget=20.0, shard=10),
        run=Run(clock=lambda: float(next(ticks)), progress=lambda *at: told.append(at)),
    )
    assert 0 < found.n < 60
    assert left_out == 60 - found.n
    assert told[-1] == (found.n, 60)


def test_one_shard_is_always_evaluated() -> None:
    clock = iter(range(0, 10**9, 1000))
    found, _ = evaluate_until(
        _model(),
        _data(),
        THREAT,
        attacks={"pgd": PGD(steps=2)},
        stop=Stop(budget=1.0, shard=10),
        run=Run(clock=lambda: float(next(clock))),
    )
    assert found.n == 10


def test_shards_of_different_evaluations_are_not_put_together() -> None:
    part = evaluate(_model(), _data(), THREAT, attacks={"pgd": PGD(steps=2)}, run=Run(rows=(0, 9)))
    with pytest.raises(DataError, match="no shard"):
        merge([])
    for other in (replace(part, seed=1), replace(part, attacks=())):
        with pytest.raises(DataError, match="one evaluation"):
            merge([part, other])


@pytest.mark.parametrize(
    "build",
    [
        lambda: Stop(width=0.0),
        lambda: Stop(budget=0.0),
        lambda: Stop(shard=0),
        lambda: evaluate(_model(), _data(), THREAT, attacks=ATTACKS, run=Run(rows=(5, 5))),
        lambda: evaluate(_model(), _data(), THREAT, attacks=ATTACKS, run=Run(rows=(0, 61))),
        lambda: evaluate_until(_model(), _data(), THREAT, attacks=ATTACKS, stop=Stop(budget=1.0)),
    ],
)
def test_out_of_range(build: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        build()
