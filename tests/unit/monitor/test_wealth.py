from __future__ import annotations

from math import inf, log
from typing import Any

import numpy as np
import pytest

from hauberk.core.errors import DataError, UserError
from hauberk.monitor.wealth import Wealth, entry, table

LEVELS = np.array([0.01, 0.05, 0.2])
BETS = ((0.0, 1.0, 0.5), (0.0, 0.02, 0.9))


def test_a_bet_pays_one_over_the_level_on_its_share() -> None:
    pays = table(LEVELS, BETS)
    assert pays.shape == (4, 2)
    expected = 0.5 + 0.5 * (1 / 0.01 + 1 / 0.05 + 1 / 0.2) / 3
    np.testing.assert_allclose(pays[:, 1], [0.1 + 0.9 / 0.01, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(pays[[0, 3], 0], [expected, 0.5])


def test_a_bet_between_the_levels_takes_the_next_one_above() -> None:
    np.testing.assert_allclose(table(LEVELS, [(0.06, 0.1, 0.5)]), table(LEVELS, [(0.2, 0.2, 0.5)]))
    np.testing.assert_allclose(table(LEVELS, [(0.5, 0.6, 0.5)]), table(LEVELS, [(0.2, 0.2, 0.5)]))


def test_bets_are_fair_at_most_under_the_null() -> None:
    mass = np.diff(np.concatenate(([0.0], LEVELS, [1.0])))  # the largest that the null allows
    assert (mass @ table(LEVELS, BETS) <= 1 + 1e-12).all()


def test_the_capital_that_enters_is_at_most_one() -> None:
    entered = sum(entry(t) for t in range(1, 200_000))
    tail = log(9) / log(200_000)  # the integral of the rest
    assert 0.7 < entered <= 1
    assert entered + tail <= 1 + 1e-6


def test_a_late_start_costs_little_more_than_its_logarithm() -> None:
    assert log(entry(10_000)) > -log(10_000) - 5


def test_play_multiplies_what_was_there_and_what_enters() -> None:
    wealth = Wealth((2,))
    assert wealth.evidence() == -inf
    pays = np.array([2.0, 0.5])
    wealth.play(pays)
    wealth.play(pays)
    w1, w2 = entry(1), entry(2)
    expected = [2 * (2 * w1 + w2), 0.5 * (0.5 * w1 + w2)]
    np.testing.assert_allclose(wealth.money, expected)
    np.testing.assert_allclose(wealth.evidence(), np.log(np.mean(expected)))


def test_withdrawing_gives_up_what_was_won_but_not_the_clock() -> None:
    wealth = Wealth((1,))
    wealth.play(np.array([50.0]))
    wealth.withdraw()
    wealth.play(np.array([1.0]))
    assert wealth.evidence() == pytest.approx(log(entry(2)))


def test_neither_overflows_nor_forgets_how_to_win() -> None:
    wealth = Wealth((1,))
    for _ in range(3000):
        wealth.play(np.array([150.0]))
    assert 150 < wealth.evidence() < inf
    for _ in range(6000):
        wealth.play(np.array([0.01]))
    low = wealth.evidence()
    assert low > -30  # fresh capital, not e^-15000
    for _ in range(10):
        wealth.play(np.array([150.0]))
    assert wealth.evidence() > low + 40


def test_state_round_trip() -> None:
    wealth = Wealth((2, 3))
    assert Wealth.restored(wealth.state(), (2, 3)).state() == wealth.state()
    wealth.play(np.arange(6.0).reshape(2, 3))
    again = Wealth.restored(wealth.state(), (2, 3))
    np.testing.assert_array_equal(again.money, wealth.money)
    assert again.t == 1


@pytest.mark.parametrize(
    "state",
    [[], [1], [1, 0.0, 0.0, 0.0], ["1", 0.0, 0.0], [-1, 0.0, 0.0], [True, 0.0, 0.0],
     [1, float("nan"), 0.0], [1, inf, 0.0], [1, -1.0, 0.0], {"t": 1}, None],
    ids=str,
)  # fmt: skip
def test_refuses_another_state(state: Any) -> None:
    with pytest.raises(DataError):
        Wealth.restored(state, (2,))


@pytest.mark.parametrize(
    ("levels", "stake"),
    [
        ((), 0.5),
        ((0.0, 0.1), 0.5),
        ((0.2, 0.1), 0.5),
        ((0.5, 1.1), 0.5),
        (LEVELS, 0.0),
        (LEVELS, 1.0),
    ],
)
def test_refuses_senseless_bets(levels: Any, stake: float) -> None:
    with pytest.raises(UserError):
        table(levels, [(0.0, 1.0, stake)])
