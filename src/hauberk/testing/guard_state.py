"""A guard state in memory, and what every one must hold; for authors of adapters too.

A check takes a function that opens the same state again at each call, as another replica would,
with room for 100 records, and raises AssertionError where the state falls short.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.kept import LARGEST, check_size
from hauberk.core.errors import UserError
from hauberk.core.ports import Cell, GuardState
from hauberk.monitor.campaign import CampaignMonitor
from hauberk.monitor.station import Station
from hauberk.testing.store_checks import make_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.record import Record

ROOM = 100
"""Records that a state under check keeps."""
GuardStateCheck = Callable[[Callable[[], GuardState]], None]


@dataclass
class MemoryGuardState:
    """A :class:`hauberk.core.ports.GuardState` of one process."""

    room: int = ROOM
    _records: list[Record] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)
    _cells: dict[str, Cell] = field(default_factory=dict)
    _last: int = 0
    _lock: Lock = field(default_factory=Lock)

    def tell(self, log: str, records: Sequence[Record]) -> int:
        with self._lock:
            for record in records:
                if record.seq > self._known.get(log, 0):
                    self._last += 1
                    self._records.append(msgspec.structs.replace(record, seq=self._last))
                    self._known[log] = record.seq
            del self._records[: -self.room]
            return self._known.get(log, 0)

    def known(self, log: str) -> int | None:
        return self._known.get(log)

    def read(self, after: int, limit: int) -> list[Record]:
        with self._lock:
            return [one for one in self._records if one.seq > after][:limit]

    def last_seq(self) -> int:
        return self._last

    def cell(self, name: str) -> Cell:
        return self._cells.get(name, Cell())

    def put(self, name: str, data: bytes, *, over: int | None = None) -> int | None:
        check_size(name, data)
        with self._lock:
            version = self.cell(name).version
            if over is not None and over != version:
                return None
            self._cells[name] = Cell(version + 1, data)
            return version + 1


def guard_state_checks() -> dict[str, GuardStateCheck]:
    """The checks of a :class:`hauberk.core.ports.GuardState`; each wants an empty one."""
    return {
        "one-stream": _one_stream,
        "told-once": _told_once,
        "bounded": _bounded,
        "cells": _cells,
        "one-wins": _one_wins,
        "concurrent-tells": _concurrent_tells,
        "one-campaign": _one_campaign,
        "watch-goes-on-elsewhere": _watch_goes_on,
    }


def campaign(count: int) -> list[Record]:
    """Queries of one client whose fingerprints resemble each other, as those of a search do."""
    return [
        msgspec.structs.replace(
            make_record(seq), fingerprint=f"{1 << (seq % 3):032x}", tenant="t", p_value=0.5
        )
        for seq in range(1, count + 1)
    ]


def _expect(*, holds: bool, that: str) -> None:
    if not holds:
        raise AssertionError(that)


def _one_stream(make: Callable[[], GuardState]) -> None:
    _expect(holds=make().read(0, 10) == [] and make().last_seq() == 0, that="a new one is empty")
    _expect(holds=make().known("a") is None, that="nothing is known of a log that told nothing")
    make().tell("a", [make_record(1), make_record(5)])
    make().tell("b", [make_record(1)])
    make().tell("a", [make_record(6)])
    read = make().read(0, 10)
    told = [msgspec.structs.replace(make_record(seq), seq=0) for seq in (1, 5, 1, 6)]
    found = [msgspec.structs.replace(one, seq=0) for one in read]
    _expect(holds=found == told, that="records come in the order in which they were told")
    seqs = [one.seq for one in read]
    _expect(holds=sorted(set(seqs)) == seqs, that="numbers ascend")
    _expect(holds=make().last_seq() == seqs[-1], that="last_seq is the newest number")
    _expect(holds=make().read(seqs[1], 1) == read[2:3], that="a reader goes on where it was")
    _expect(holds=make().read(seqs[-1], 9) == [], that="nothing is after the newest")
    _expect(holds=make().known("a") == 6 and make().known("b") == 1, that="logs are known apart")


def _told_once(make: Callable[[], GuardState]) -> None:
    records = [make_record(seq) for seq in range(1, 11)]
    make().tell("a", records[:6])
    _expect(holds=make().tell("a", records) == 10, that="tell gives the last one known")
    _expect(holds=make().tell("a", records[3:7]) == 10, that="what is known stays known")
    _expect(holds=make().tell("a", []) == 10, that="nothing told changes nothing")
    ids = [one.id for one in make().read(0, 100)]
    _expect(holds=ids == [one.id for one in records], that="a record told twice counts once")


def _bounded(make: Callable[[], GuardState]) -> None:
    for start in range(1, 3 * ROOM, 50):
        make().tell("a", [make_record(seq) for seq in range(start, start + 50)])
    kept = make().read(0, 10 * ROOM)
    _expect(holds=len(kept) == ROOM, that=f"{ROOM} records are kept, not {len(kept)}")
    _expect(holds=kept[-1].id == f"r{3 * ROOM}", that="the newest are kept")


def _cells(make: Callable[[], GuardState]) -> None:
    _expect(holds=make().cell("x") == Cell(), that="an absent cell is of version 0")
    _expect(holds=make().put("x", b"one") == 1, that="the first version is 1")
    data = bytes(range(256)) * 1000
    _expect(holds=make().put("x", data, over=1) == 2, that="a cell is replaced over its version")
    _expect(holds=make().put("x", b"late", over=1) is None, that="an old version is refused")
    _expect(holds=make().cell("x") == Cell(2, data), that="a cell holds what was put last")
    _expect(holds=make().put("x", b"") == 3, that="without a version the last one wins")
    _expect(holds=make().cell("y") == Cell(), that="cells are apart")
    _expect(holds=make().put("y", b"z", over=0) == 1, that="0 is the version of what is not there")
    try:
        make().put("y", b"x" * (LARGEST + 1))
    except UserError:
        return
    raise AssertionError("a cell has a largest size")


def _one_wins(make: Callable[[], GuardState]) -> None:
    def add(_: int) -> int:
        state, tries = make(), 0
        while True:
            cell = state.cell("sum")
            tries += 1
            done = state.put("sum", str(int(cell.data or b"0") + 1).encode(), over=cell.version)
            if done is not None:
                return tries

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    _expect(holds=make().cell("sum") == Cell(40, b"40"), that="no change is lost")


def _concurrent_tells(make: Callable[[], GuardState]) -> None:
    def tell(writer: int) -> None:
        state = make()
        for seq in range(1, 12):
            state.tell(f"log{writer}", [make_record(seq)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, range(8)))
    read = make().read(0, 1000)
    _expect(holds=len(read) == len({one.seq for one in read}) == 88, that="all are there, once")
    _expect(holds=[one.seq for one in read] == sorted(one.seq for one in read), that="in order")


def _one_campaign(make: Callable[[], GuardState]) -> None:
    """A client that spreads a campaign over two gateways is seen by who reads both as one."""

    def station() -> Station:
        return Station(monitors={"campaign": CampaignMonitor()})

    asked = campaign(10)
    halves, whole = (asked[::2], asked[1::2]), station()
    for half in halves:
        alone = station()
        found = [evidence for record in half for evidence in alone.fold(record)]
        _expect(holds=found == [], that="half of this campaign is too little to be seen")
    for one, other in zip(*halves, strict=True):
        make().tell("gateway-1", [one])
        make().tell("gateway-2", [other])
    found = [evidence for record in make().read(0, 100) for evidence in whole.fold(record)]
    rules = {evidence.rule for evidence in found}
    _expect(holds=rules == {"HB-D007"}, that="the two halves together are a campaign")


def _watch_goes_on(make: Callable[[], GuardState]) -> None:
    make().tell("a", campaign(60))
    first, second, whole = (Station(monitors={"campaign": CampaignMonitor()}) for _ in range(3))
    for record in make().read(0, 100):
        whole.fold(record)
    for record in make().read(0, 20):
        first.fold(record)
    make().put("watch", msgspec.msgpack.encode(first.state()), over=0)
    second.restore(msgspec.msgpack.decode(make().cell("watch").data))
    for record in make().read(second.seq, 100):
        second.fold(record)
    _expect(holds=second.mark == whole.mark, that="another watch goes on bit for bit")
