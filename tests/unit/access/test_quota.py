from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.access.advance import Advance
from hauberk.access.quota import (
    DAY,
    LEASE,
    Charge,
    Fallback,
    MemoryQuotas,
    QuotaRules,
    Quotas,
    Seat,
    owner_of,
)
from hauberk.adapters.local.quotas import SqliteQuotas
from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from pathlib import Path

T0 = 1_900_000_000.0


@pytest.fixture(params=["memory", "sqlite", "advance"])
def quotas(request: Any, tmp_path: Path) -> Quotas:
    kept = SqliteQuotas(tmp_path / "q.db") if request.param == "sqlite" else MemoryQuotas()
    return Advance(kept) if request.param == "advance" else kept


def one(cost: float = 1.0, key: str = "k", period: float = 0.5, depth: float = 4.0) -> Charge:
    return Charge(key, cost, period, depth)


def test_a_burst_passes_then_the_rate(quotas: Quotas) -> None:
    assert [quotas.take([one()], at=T0) for _ in range(4)] == [0.0] * 4
    wait = quotas.take([one()], at=T0)
    assert wait == pytest.approx(0.5, abs=1e-6)
    assert quotas.take([one()], at=T0 + 0.49) > 0  # what was refused cost nothing
    assert quotas.take([one()], at=T0 + wait + 1e-6) == 0.0
    assert quotas.take([one(key="other")], at=T0) == 0.0


def test_all_buckets_are_charged_or_none(quotas: Quotas) -> None:
    assert quotas.take([one(4, key="a")], at=T0) == 0.0
    assert quotas.take([one(1, key="b"), one(1, key="a")], at=T0) > 0
    assert quotas.take([one(4, key="b")], at=T0) == 0.0


def test_what_never_fits_is_told_apart(quotas: Quotas) -> None:
    assert quotas.take([one(4.5)], at=T0) == math.inf
    assert quotas.take([one(4)], at=T0) == 0.0


def test_seats_are_given_back_and_a_dead_process_keeps_none(quotas: Quotas) -> None:
    seats = [Seat("k", str(n), 2) for n in range(3)]
    assert [quotas.enter(seat, at=T0) for seat in seats] == [True, True, False]
    quotas.leave(seats[0])
    quotas.leave(seats[0])
    assert quotas.enter(seats[2], at=T0)
    assert not quotas.enter(seats[0], at=T0 + LEASE - 1)
    assert quotas.enter(seats[0], at=T0 + LEASE)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.1, 4)), min_size=1, max_size=60),
)
def test_never_more_than_depth_and_rate_passes(calls: list[tuple[float, float]]) -> None:
    quotas, at, passed = MemoryQuotas(), T0, 0.0
    for gap, cost in calls:
        at += gap
        wait = quotas.take([one(cost)], at=at)
        if wait == 0.0:
            passed += cost
            assert passed <= 4.0 + (at - T0) / 0.5 + 1e-6
        else:
            assert quotas.take([one(cost)], at=at + wait + 1e-6) == 0.0
            at, passed = at + wait + 1e-6, passed + cost


class Counted:
    """Shared counts that note how often they are asked, and may be lost."""

    def __init__(self) -> None:
        self.kept, self.asked, self.lost = MemoryQuotas(), 0, False

    def take(self, charges: Any, *, at: float) -> float:
        self._ask()
        return self.kept.take(charges, at=at)

    def enter(self, seat: Seat, *, at: float) -> bool:
        self._ask()
        return self.kept.enter(seat, at=at)

    def leave(self, seat: Seat) -> None:
        self._ask()
        self.kept.leave(seat)

    def _ask(self) -> None:
        self.asked += 1
        if self.lost:
            raise EnvironmentFault("gone")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.floats(2000, 1e6), st.floats(0.5, 3.0), st.integers(0, 2**32 - 1))
def test_ahead_of_the_count_as_much_passes_to_within_a_four_hundredth_each(
    processes: int, depth: float, demand: float, seed: int
) -> None:
    """``demand`` is over what the bucket regains; it is full at first."""
    first, draw, at, asked = Counted(), random.Random(seed), T0, 0.0
    own = [Advance(first) for _ in range(processes)]
    period, passed = 10.0 / depth, 0.0
    for _ in range(20_000):
        cost = depth * draw.choice([1e-4, 2e-4, 5e-4])
        at += cost * period / demand
        asked += cost
        if draw.choice(own).take([one(cost, period=period, depth=depth)], at=at) == 0.0:
            passed += cost
        regained = (at - T0) / period
        assert passed <= (depth * (1 + processes / 400) + regained) * (1 + 1e-9)
    least = min(asked, depth + regained)
    assert passed >= least * (1 - processes / 400) - 1e-3 * depth


def test_most_requests_are_counted_without_asking() -> None:
    first = Counted()
    quotas = Advance(first)
    charges = [one(1.0, key=key, period=1e-3, depth=1e5) for key in "ab"]
    for number in range(1000):
        seat = Seat("s", str(number), 64)
        assert quotas.near(charges, "s", at=T0) == (number > 0 and first.asked == 2)
        assert quotas.enter(seat, at=T0)
        assert quotas.take(charges, at=T0) == 0.0
        quotas.leave(seat)
        if number == 0:
            assert first.asked == 2
        if not quotas.near(charges, "s", at=T0):
            break
    assert number == 249, "a four-hundredth of the bucket is two hundred and fifty"
    first.lost = True
    with pytest.raises(EnvironmentFault):
        quotas.take(charges, at=T0)
    assert quotas.enter(Seat("s", "kept", 64), at=T0)
    with pytest.raises(EnvironmentFault):
        quotas.enter(Seat("s", "another", 64), at=T0)


def test_seats_stay_for_a_while_and_no_longer() -> None:
    first = Counted()
    mine, other = Advance(first), Advance(first)
    for number in range(16):
        assert mine.enter(Seat("s", str(number), 16), at=T0)
    for number in range(16):
        mine.leave(Seat("s", str(number), 16))
    assert sum(other.enter(Seat("s", f"o{number}", 16), at=T0) for number in range(20)) == 14
    mine.sweep(at=T0 + 1.9)
    assert not other.enter(Seat("s", "late", 16), at=T0 + 1.9), "two of sixteen are kept"
    assert mine.near([], "s", at=T0 + 1.9)
    mine.sweep(at=T0 + 2.0)
    assert not mine.near([], "s", at=T0 + 2.0)
    assert other.enter(Seat("s", "late", 16), at=T0 + 2.0)


def test_what_is_refused_costs_nothing_of_what_was_drawn() -> None:
    quotas = Advance(MemoryQuotas())
    large = one(1.0, key="a", period=1e-3, depth=1e5)
    assert quotas.take([large], at=T0) == 0.0
    for _ in range(500):
        assert quotas.take([large, one(4.5, key="b")], at=T0) == math.inf
    assert quotas.near([one(249.0, key="a")], "", at=T0)


def test_full_buckets_are_forgotten() -> None:
    quotas = MemoryQuotas()
    for number in range(20_000):
        quotas.take([one(key=str(number))], at=T0 + number * 0.01)
    assert len(quotas) < 5000


class Dead:
    asked = 0

    def take(self, charges: Any, *, at: float) -> float:
        self.asked += 1
        raise EnvironmentFault("gone")

    def enter(self, seat: Seat, *, at: float) -> bool:
        self.asked += 1
        raise EnvironmentFault("gone")

    def leave(self, seat: Seat) -> None:
        raise EnvironmentFault("gone")


def test_the_fallback_counts_here_and_does_not_ask_each_time() -> None:
    dead = Dead()
    quotas = Fallback(dead)
    assert [quotas.take([one()], at=T0) for _ in range(5)] == [0, 0, 0, 0, pytest.approx(0.5)]
    assert dead.asked == 1
    seat = Seat("s", "1", 1)
    assert quotas.enter(seat, at=T0)
    assert not quotas.enter(Seat("s", "2", 1), at=T0)
    quotas.leave(seat)
    quotas.take([one()], at=T0 + 2)
    assert dead.asked == 2
    assert quotas.lost == 8


def test_rules_charge_what_they_bound() -> None:
    rules = QuotaRules(requests=2.0, bytes=100.0, rows=5.0, rows_per_day=1000.0, burst=3.0)
    arrival, content = rules.arrival("o", 50), rules.content("o", 7)
    assert [(c.key, c.cost, c.depth) for c in arrival] == [
        ("requests/o", 1.0, 6.0),
        ("bytes/o", 50.0, 300.0),
    ]
    assert [(c.key, c.cost, c.period) for c in content] == [
        ("rows/o", 7.0, 0.2),
        ("day/o", 7.0, DAY / 1000),
    ]
    assert not QuotaRules(burst=9.0).any
    assert QuotaRules(concurrent=1).any


def test_two_pairs_never_share_an_owner() -> None:
    assert owner_of(["a/1:b", "c"]) != owner_of(["a", "b/1:c"])
    assert owner_of(["a", "bc"]) != owner_of(["ab", "c"])
