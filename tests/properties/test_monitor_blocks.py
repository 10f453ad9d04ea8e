"""Many records at once: the same findings and the same state, to the bit, however they are cut."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.digest import canonical_json
from hauberk.core.record import Record
from hauberk.guard.features import NAMES
from hauberk.monitor import likeness
from hauberk.monitor.block import Block, Reader
from hauberk.monitor.budget import Budget, BudgetMonitor
from hauberk.monitor.campaign import CampaignMonitor
from hauberk.monitor.cusum import Cusum
from hauberk.monitor.membership import MembershipMonitor
from hauberk.monitor.run_length import RunLengthMonitor
from hauberk.monitor.shiryaev_roberts import ShiryaevRoberts
from hauberk.monitor.station import Station, monitors
from hauberk.monitor.trained import Trained
from hauberk.monitor.wealth import CUT, Wealth
from hauberk.testing.monitor_checks import toy_calibration, toy_gauge, toy_records

if TYPE_CHECKING:
    from hauberk.guard.calibration import Calibration

CALIBRATION = replace(toy_calibration(n=600), answers=np.array([598.0, 2.0]))
MARKS = [np.random.default_rng(number).bytes(16).hex() for number in range(40)]
TRAINED = Trained(likeness.of_numbers(int(mark, 16) for mark in MARKS[:12]))
MARKS = [np.random.default_rng(8 + i).bytes(16).hex() for i in range(40)]
USUAL = {"tenant 1": {"own": 0.7, "similar": 0.7, "unusual": 0.3}}


def _hedged() -> Calibration:
    fitted = replace(CALIBRATION)
    object.__setattr__(fitted, "hedges", ("another",))  # a panel that goes with it is not needed
    return fitted


def _stream(seed: int, n: int) -> list[Record]:
    """Quiet and loud stretches, clients of three tenants, gaps, repeats, and records that lack."""
    rng, out, seq = np.random.default_rng(seed), list[Record](), 0
    pools = [
        toy_records(300, calibration=CALIBRATION, seed=seed),
        toy_records(300, calibration=CALIBRATION, seed=seed, attacked=0.9),
        toy_records(300, calibration=CALIBRATION, seed=seed, shifted=1.0),
    ]
    while len(out) < n:
        pool = pools[rng.choice(3, p=(0.7, 0.2, 0.1))]
        clients, alike = int(rng.integers(1, 30)), rng.random() < 0.3
        for _ in range(int(rng.integers(1, 120))):
            seq += int(rng.integers(1, 3))
            one = pool[int(rng.integers(300))] if not alike else pool[seq // 5 % 300]
            mark = MARKS[seq // 5 % 40] if alike else rng.bytes(16).hex()
            out.append(_lacking(one, seq, f"client {rng.integers(clients)}", mark, rng))
    return out[:n]


def _lacking(one: Record, seq: int, who: str, mark: str, rng: np.random.Generator) -> Record:
    record = msgspec.structs.replace(
        one,
        seq=seq,
        at=float(seq),
        principal=who,
        tenant=f"tenant {rng.integers(3)}",
        fingerprint=mark,
        label=int(rng.random() < 0.08),
        latency_ms=float(rng.choice([0.3, 0.4, 9.0], p=(0.6, 0.38, 0.02))),
        p_hedges=(float(rng.random()),),
    )
    if rng.random() > 0.03:
        return record
    lacks: list[dict[str, Any]] = [
        {"p_value": None, "p_benign": None},
        {"features": ()},
        {"p_value": None},
        {"outcome": "refuse"},
        {"outcome": "abstain"},
        {"twin_label": None},
        {"p_hedges": ()},
        {"label": 7},
        {"digest": "sha256:" + "1" * 64},
    ]
    return msgspec.structs.replace(record, **lacks[int(rng.integers(len(lacks)))])


def _station(kind: int) -> Station:
    if kind == 0:
        return Station(monitors=monitors(CALIBRATION, gauge=toy_gauge()))
    made = monitors(
        _hedged(), gauge=toy_gauge(), usual=USUAL, repeats=2.0, run_length=300, capacity=12
    )
    made["campaign"] = CampaignMonitor(window=5, run_length=300, capacity=30, tenants=USUAL)
    trained = Trained(likeness.of_numbers(int(mark, 16) for mark in MARKS[:9]))
    made["membership"] = MembershipMonitor(trained=trained, run_length=300, capacity=25)
    told = Budget(digest="sha256:1", queries=16, days=0.002)
    made["budget"] = BudgetMonitor(budget=told, usual={"tenant/tenant 2": 30}, capacity=40)
    made["membership"] = MembershipMonitor(
        trained=TRAINED, run_length=200, capacity=30, tenants={"tenant 1": 0.2}
    )
    return Station(monitors=made)


@settings(deadline=None, max_examples=10)
@given(
    seed=st.integers(0, 2**31),
    kind=st.integers(0, 1),
    cuts=st.lists(st.integers(1, 400), min_size=2, max_size=5),
)
def test_pieces_of_any_size_give_what_single_records_give(
    seed: int, kind: int, cuts: list[int]
) -> None:
    records = _stream(seed, 600)
    one, many = _station(kind), _station(kind)
    expected = [(r, e) for r in records for e in one.fold(r)]
    found, at, turn = [], 0, 0
    while at < len(records):
        size = cuts[turn % len(cuts)]
        # Some are read a second time: they change nothing.
        found += many.fold_all(records[max(0, at - 3) : at + size])
        at, turn = at + size, turn + 1
        if turn == 2:
            again = _station(kind)
            again.restore(many.state())
            many = again
    assert found == expected
    assert many.mark == one.mark
    assert canonical_json(many.state()) == canonical_json(one.state())


def test_the_streams_hold_findings_of_most_kinds() -> None:
    codes = set()
    for seed in range(2):
        for kind in (0, 1):
            station = _station(kind)
            station.fold_all(_stream(seed, 1500))
            codes |= set(station.found)
    assert {"HB-D001", "HB-D002", "HB-D006", "HB-D007", "HB-D009", "HB-D012"} <= codes
    assert {"HB-D014", "HB-D015"} <= codes


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from([Wealth, ShiryaevRoberts, Cusum]),
    shape=st.sampled_from([(3,), (2, 4)]),
    pieces=st.lists(st.integers(0, 3 * CUT), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
    limit=st.floats(1e-3, 1e4),
)
def test_a_run_is_its_steps(
    kind: type[Wealth], shape: tuple[int, ...], pieces: list[int], seed: int, limit: float
) -> None:
    rng = np.random.default_rng(seed)
    stepped, ran = kind(shape), kind(shape)
    for piece in pieces:
        pays = np.exp(rng.normal(0, 1.5, (piece, *shape)))
        took = ran.run(pays, limit * shape[-1])
        for row in pays[:took]:
            stepped.play(row)
            assert stepped.money.mean(axis=-1).max() < limit
        assert stepped.state() == ran.state()
        np.testing.assert_array_equal(stepped.money, ran.money)
        if took < piece:
            stepped.play(pays[took])
            assert stepped.money.mean(axis=-1).max() >= limit * (1 - 1e-6)
            break


def test_most_quiet_records_are_passed_over() -> None:
    watch = RunLengthMonitor(calibration=CALIBRATION, run_length=1e6)
    calls = 0
    update = watch.update

    def counted(record: Record) -> object:
        nonlocal calls
        calls += 1
        return update(record)

    object.__setattr__(watch, "update", counted)
    reader = Reader(watch)
    records = toy_records(3000, calibration=CALIBRATION)
    for at in range(0, 3000, 1000):
        reader.read(Block(records[at : at + 1000]))
    assert calls < 30


def test_a_block_without_statistics_has_columns_too() -> None:
    block = Block([msgspec.structs.replace(r, features=()) for r in _stream(0, 5)])
    assert block.features.shape == (5, len(NAMES))
    assert not block.fits.any()


@pytest.mark.parametrize("first", [0, 1])
def test_an_empty_block_changes_nothing(first: int) -> None:
    station = _station(0)
    station.fold_all(_stream(1, first))
    before = station.state()
    assert station.fold_all([]) == []
    assert station.state() == before
