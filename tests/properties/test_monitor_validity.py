"""The claim of the sequential tests: on clean traffic, hardly ever an alarm, at any time."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.guard import band
from hauberk.monitor import suspicion
from hauberk.monitor.bets import BETS
from hauberk.monitor.suspicion import SuspicionMonitor
from hauberk.monitor.wealth import Wealth, entry, table
from hauberk.testing.monitor_checks import toy_calibration, toy_records

_LEVELS = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12, unique=True).map(sorted)
_BET = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.99))


@settings(deadline=None, max_examples=60)
@given(levels=_LEVELS, bets=st.lists(_BET, min_size=1, max_size=5))
def test_no_bet_gains_on_average_under_the_null(
    levels: list[float], bets: list[tuple[float, float, float]]
) -> None:
    mass = np.diff(np.concatenate(([0.0], levels, [1.0])))
    assert (mass @ table(levels, bets) <= 1 + 1e-9).all()


@settings(deadline=None, max_examples=40)
@given(gains=st.lists(st.floats(-3, 3), min_size=1, max_size=30))
def test_wealth_is_the_sum_over_the_times_of_entry(gains: list[float]) -> None:
    wealth = Wealth((1,))
    for gain in gains:
        wealth.play(np.exp([gain]))
    total = np.logaddexp.reduce([log(entry(s + 1)) + sum(gains[s:]) for s in range(len(gains))])
    assert float(wealth.evidence()) == pytest.approx(float(total), abs=1e-9)


@pytest.mark.parametrize("bets", [BETS, suspicion._SPARSE_BETS], ids=["all", "sparse"])
def test_streams_at_the_very_edge_of_the_null_alarm_no_more_than_stated(
    bets: tuple[tuple[float, float, float], ...],
) -> None:
    alpha, streams, length = 0.1, 400, 1500
    levels = np.array(band.levels(270, 0.05))
    pays = table(levels, bets)
    rng = np.random.default_rng(11)
    wealth = Wealth((streams, len(bets)))
    alarmed = np.zeros(streams, dtype=bool)
    for _ in range(length):
        wealth.play(pays[levels.searchsorted(rng.random(streams))])
        alarmed |= wealth.evidence() >= -log(alpha)
    assert alarmed.mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / streams)
    assert alarmed.any()  # at this alpha some must, or the bets have no power at all


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_clean_requests_raise_no_alarm(seed: int) -> None:
    calibration = toy_calibration(n=270, seed=seed)
    watch = SuspicionMonitor(calibration=calibration)
    for record in toy_records(10_000, calibration=calibration, seed=seed + 100):
        assert watch.update(record) is None
