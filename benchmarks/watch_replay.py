"""Replay: a million recorded requests through every monitor, twice, once with a stop halfway."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from benchmarks.table import Row, at_least, at_most
from hauberk.adapters.local.watching import batches, lines, resume, save
from hauberk.monitor.budget import Budget, BudgetMonitor
from hauberk.monitor.membership import MembershipMonitor
from hauberk.monitor.station import MONITORS, Station, monitors
from hauberk.monitor.trained import Trained
from hauberk.testing.monitor_checks import toy_calibration, toy_gauge, toy_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.core.record import Record

CROWDS, CROWD = (100, 3000), 20_000
RECORDS, ALONE, BATCH = 1_000_000, 100_000, 4096
TRAINED = np.random.default_rng(9).integers(0, 2**63, (20_000, 2), dtype=np.uint64)
BUDGET = Budget(digest="sha256:a copy's", queries=50_000)
CALIBRATION = replace(toy_calibration(n=600), answers=np.array([598.0, 2.0]))


def replays(folder: Path, records: int = RECORDS) -> list[Row]:
    """Rates, whether the findings are the same, and by how much memory grew."""
    log = folder / "records.jsonl"
    _write(log, records)
    out = []
    for name in MONITORS:
        _, rate = _folded(log, only=(name,), most=min(ALONE, records))
        out.append(at_least(f"records/s, {name} alone", rate, 50_000))
    whole, rate = _folded(log)
    before = _memory()
    again = _halves(log, folder / "state", records // 2)
    grown = _memory() - before
    return [
        *out,
        at_least("records/s, all eleven monitors", rate, 50_000),
        *(Row(id=f"records/s, all, of {n} clients", measured=_crowd(log, n)) for n in CROWDS),
        Row(id="records", measured=float(whole.records)),
        Row(id="findings", measured=float(sum(whole.found.values()))),
        at_least("the same, stopped halfway", float(again.mark == whole.mark), 1),
        at_most("MiB that the second run added", grown, 64),
    ]


def _write(log: Path, records: int) -> None:
    """Clean traffic of seven clients and three tenants, with a short attack in each tenth."""
    pools = [
        toy_records(2000, calibration=CALIBRATION),
        toy_records(2000, calibration=CALIBRATION, attacked=0.8, seed=1),
    ]
    encode, rng = msgspec.json.Encoder().encode, np.random.default_rng(0)
    with log.open("wb") as file:
        for seq in range(1, records + 1):
            hostile = seq % (records // 10) > records // 10 - 300
            record = pools[hostile][int(rng.integers(2000))]
            file.write(encode(_placed(record, seq, rng)) + b"\n")


def _placed(record: Record, seq: int, rng: np.random.Generator) -> Record:
    return msgspec.structs.replace(
        record,
        seq=seq,
        id=f"r{seq}",
        at=1e9 + seq / 100,
        tenant=f"tenant {seq % 3}",
        fingerprint=rng.bytes(16).hex(),
        latency_ms=0.3,
    )


def _station(only: Sequence[str] = MONITORS) -> Station:
    made = monitors(CALIBRATION, gauge=toy_gauge(window=200), only=only)
    if "membership" in only:
        made["membership"] = MembershipMonitor(trained=Trained(TRAINED))
    if "budget" in only:
        made["budget"] = BudgetMonitor(budget=BUDGET)
    return Station(monitors=made)


def _folded(
    log: Path, only: Sequence[str] = MONITORS, most: int | None = None
) -> tuple[Station, float]:
    """The station after the log, and records a second of processor time, reading included."""
    station, began = _station(only), time.process_time()
    for batch in batches(islice(lines(log), most), BATCH):
        station.fold_all(batch)
    return station, station.records / (time.process_time() - began)


def _crowd(log: Path, clients: int) -> float:
    """Records a second, without reading, where many clients ask in turn."""
    records = [
        msgspec.structs.replace(one, principal=f"client {one.seq * 7919 % clients}")
        for one in islice(lines(log), CROWD)
    ]
    station, began = _station(), time.process_time()
    for batch in batches(iter(records), BATCH):
        station.fold_all(batch)
    return CROWD / (time.process_time() - began)


def _halves(log: Path, state: Path, half: int) -> Station:
    """As one watch that ended halfway, and another that went on from what it had kept."""
    station = _station()
    for batch in batches(islice(lines(log), half), BATCH):
        station.fold_all(batch)
    save(state, "a pair", station)
    second = _station()
    if not resume(state, "a pair", second):
        raise SystemExit("the state was not taken")
    for batch in batches(lines(log), BATCH):
        second.fold_all(batch)
    return second


def _memory() -> float:
    """MiB that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
