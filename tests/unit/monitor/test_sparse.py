from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hauberk.core.errors import DataError
from hauberk.monitor.sparse import WINDOW, Sparse

PAYS = np.array([[7.4], [0.9]])
MEDIANS = np.zeros(3)


def play(sparse: Sparse, count: int, *, centre: float = 0.0, row: int = 1, seed: int = 0) -> int:
    rng = np.random.default_rng(seed)
    draws = (centre + rng.normal(size=(count, 3))).tolist()
    return sum(sparse.play(row, x, PAYS) for x in draws)


def test_a_bet_waits_for_a_window_of_further_records() -> None:
    sparse = Sparse(MEDIANS, bets=1)
    assert play(sparse, WINDOW) == 0
    assert play(sparse, 7) == 7
    assert sparse.wealth.t == 7


def test_bets_are_void_while_the_bulk_has_moved_and_return_after() -> None:
    sparse = Sparse(MEDIANS, bets=1)
    play(sparse, 3 * WINDOW, row=0)
    assert sparse.wealth.evidence() > 50
    play(sparse, WINDOW, centre=2.0, row=0)
    assert sparse.wealth.evidence() == -np.inf
    assert sparse.voided > 0
    voided = sparse.voided
    play(sparse, 3 * WINDOW, seed=1)
    assert sparse.wealth.evidence() > -np.inf
    assert sparse.voided < voided + WINDOW


def test_a_small_share_far_out_hardly_voids() -> None:
    sparse, rng = Sparse(MEDIANS, bets=1), np.random.default_rng(0)
    for _ in range(3000):
        x = rng.normal(size=3) + (50.0 if rng.random() < 0.1 else 0.0)
        sparse.play(1, x.tolist(), PAYS)
    assert sparse.voided < 30
    assert sparse.wealth.t > 2800


def test_a_constant_statistic_is_on_neither_side() -> None:
    sparse = Sparse(np.full(3, 0.1), bets=1)
    for _ in range(3 * WINDOW):
        sparse.play(1, (float(np.float32(0.1)),) * 3, PAYS)
    assert sparse.voided == 0


def test_round_trip_goes_on_alike() -> None:
    one = Sparse(MEDIANS, bets=1)
    play(one, WINDOW + 40, centre=0.2)
    two = Sparse(MEDIANS, bets=1).restored(one.state(), 2)
    assert two.state() == one.state()
    for sparse in (one, two):
        play(sparse, 2 * WINDOW, centre=0.9, row=0, seed=4)
    assert two.state() == one.state()


@pytest.mark.parametrize(
    "change",
    [
        {"waiting": [[2, 0]]},
        {"waiting": [[-1, 0]]},
        {"waiting": [[0, 0]] * (WINDOW + 1)},
        {"voided": 0.5},
        {"wealth": [0]},
    ],
    ids=lambda c: str(c)[:30],
)
def test_refuses_another_state(change: dict[str, Any]) -> None:
    sparse = Sparse(MEDIANS, bets=1)
    with pytest.raises(DataError):
        sparse.restored({**sparse.state(), **change}, 2)
