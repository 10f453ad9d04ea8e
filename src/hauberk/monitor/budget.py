"""BudgetMonitor: has a client been told what a copy of the model takes?"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.monitor import likeness
from hauberk.monitor.alarm import alarm, whom
from hauberk.monitor.block import NAME, accounts
from hauberk.monitor.fold import State, read_counts, read_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.monitor.block import Block

DAY = 86_400.0
HEADROOM = 2.0
"""How many times what was usual a client may ask before it counts."""
_WINDOW, _RADIUS, _TICKS = 8, 15, 1e6


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured of the model ``digest``: a copy agrees on ``fidelity`` after ``queries``.

    The queries were of the model's own kind, answered in the form ``answers``. A client may be
    told ``share`` of that in ``days``.
    """

    digest: str
    queries: float
    fidelity: float = 0.8
    share: float = 0.5
    days: float = 1.0
    answers: str = "labels"

    @property
    def limit(self) -> float:
        """Answers after which a client counts."""
        return max(1.0, self.share * self.queries)


@dataclass(slots=True)
class _Client:
    """Newest fingerprints, and when what was told is forgotten, in millionths of a second."""

    seen: deque[int]
    until: int = 0


@dataclass(kw_only=True, eq=False)
class BudgetMonitor:
    """Evidence ``HB-D014`` on a client that was told enough of what a copy takes.

    An answer counts unless its input is within 15 of 128 bits of one of the client's last eight,
    as a retry or the next frame of a video is. What was told is forgotten evenly, a whole limit
    in the budget's days. ``usual`` holds what :func:`volumes` counted of benign traffic: whom it
    names may ask ``HEADROOM`` times as much, where that is more. A tenant is held to twice its own
    usual sum, so that sybils meet there; one of whom nothing is known is not.

    Who asks no more than the budget in its days is not found, nor is a client whose usual traffic
    is more than what a copy takes: a copy made from it cannot be told from its work.

    Raises:
        UserError: if a setting is out of range.
    """

    budget: Budget
    usual: Mapping[str, int] = field(default_factory=dict)
    capacity: int = 1024
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        one = self.budget
        if not (one.queries >= 1 and 0 < one.share <= 1 and 0 < one.days < float("inf")):
            raise UserError("queries must be at least 1, share within (0, 1], days above 0")
        if self.capacity < 1 or any(count < 0 for count in self.usual.values()):
            raise UserError("capacity must be at least 1, and no usual count below 0")
        self._counts = {"used": 0, "ignored": 0, "alarms": 0}
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._period = int(one.days * DAY * _TICKS)
        self._dropped = 0

    def limit(self, name: str) -> float:
        """How many answers a client, or a tenant, may get."""
        return max(self.budget.limit, HEADROOM * self.usual.get(name, 0))

    def update(self, record: Record, /) -> Evidence | None:
        """Take one record; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        if not _answered(record):
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        found, mark = None, likeness.number(record.fingerprint)
        for name in self._names(record):
            client = self._client(name)
            if mark is not None:
                near = any((mark ^ one).bit_count() <= _RADIUS for one in client.seen)
                client.seen.append(mark)
                if near:
                    continue
            at, cost = _ticks(record.at), self._cost(name)
            client.until = max(client.until, at) + cost
            if client.until - at >= self._period and found is None:
                client.until = 0
                found = self._alarm(record, name)
        return found

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last:
            return start
        if block.words is None or block.accounts.longest >= NAME:
            return start
        rows = start + np.flatnonzero(block.label[start:end] >= 0)
        groups = self._groups(block, rows)
        if len(self._clients) + sum(name not in self._clients for name in groups) > self.capacity:
            return start  # someone would have to make room
        dropped, fresh = block.once("budget", lambda: self._fresh(block, start, len(block)))
        if dropped != self._dropped:  # who was forgotten since has nothing to be near to
            fresh = self._fresh(block, start, end)[1]
        stop, moved = end, []
        for name, places in groups.items():
            client, cost = self._clients.get(name), self._cost(name)
            part = places[fresh[places, int(name.startswith("tenant/"))]]
            if not len(part):
                moved.append((places, name, client.until if client else 0))
                continue
            at = block.once("ticks", lambda: _all_ticks(block))[part]
            steps = cost * np.arange(len(at) + 1)
            start_at = client.until if client else 0
            until = np.maximum.accumulate(np.maximum(at, start_at) - steps[:-1]) + steps[1:]
            loud = until - at >= self._period
            if loud.any():
                stop = min(stop, int(part[loud.argmax()]))
            moved.append((places, name, int(until[-1])))
        if stop < end:
            return self.skip(block, start, stop) if stop > start else start
        for places, name, until_last in sorted(moved, key=lambda one: int(one[0][-1])):
            client = self._clients.setdefault(name, _Client(deque(maxlen=_WINDOW)))
            client.seen.extend(block.marks[row] for row in places[-_WINDOW:].tolist())
            client.until = until_last
            self._clients.move_to_end(name)
        self._counts["used"] += len(rows)
        self._counts["ignored"] += end - start - len(rows)
        self._last = block.seq[end - 1]
        return end

    def _fresh(self, block: Block, start: int, end: int) -> tuple[int, NDArray[np.bool_]]:
        """How many were forgotten so far, and which records are near none shortly before.

        ``(n, 2)``: near none of the client's, of the tenant's; of ``start`` up to ``end`` alone.
        """
        words = block.words
        assert words is not None
        out = np.ones((len(block), 2), dtype=np.bool_)
        rows = start + np.flatnonzero(block.label[start:end] >= 0)
        for name, places in self._groups(block, rows).items():
            client = self._clients.get(name)
            before = likeness.of_numbers(client.seen if client else ())
            near = likeness.near(before, words[places], room=_WINDOW, radius=_RADIUS)
            out[places, int(name.startswith("tenant/"))] = ~near
        return self._dropped, out

    def _groups(self, block: Block, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        every = block.accounts.groups(rows)
        return {
            name: places
            for name, places in every.items()
            if name.startswith("client/") or name in self.usual
        }

    def _names(self, record: Record) -> tuple[str, ...]:
        """Of whom a record is: a client, and a tenant of whom something is known."""
        client, tenant = accounts(record)
        return (client, tenant) if tenant in self.usual else (client,)

    def _cost(self, name: str) -> int:
        """By how much one answer puts off the time at which all is forgotten."""
        return max(1, int(self._period / self.limit(name)))

    def _client(self, name: str) -> _Client:
        client = self._clients.get(name)
        if client is None:
            if len(self._clients) >= self.capacity:
                self._make_room()
            client = self._clients[name] = _Client(deque(maxlen=_WINDOW))
        self._clients.move_to_end(name)
        return client

    def _make_room(self) -> None:
        """Drop who was told the least of the longest unseen; a flood of names pushes no one out."""
        self._dropped += 1
        oldest = [name for name, _ in zip(self._clients, range(8), strict=False)]
        del self._clients[min(oldest, key=lambda name: self._clients[name].until)]

    def _alarm(self, record: Record, name: str) -> Evidence:
        self._counts["alarms"] += 1
        budget, limit = self.budget, self.limit(name)
        who, of = whom(name, record)
        part = limit / budget.queries
        return alarm(
            "HB-D014",
            record,
            value=limit,
            limit=limit,
            message=f"{who} was told {limit:.0f} answers within {budget.days:g} "
            f"days, {part:.2g} of what a copy that agrees on {budget.fidelity:.0%} takes",
            spec={
                **of,
                "requests": int(limit),
                "queries": budget.queries,
                "usual": self.usual.get(name, 0),
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "clients": {
                name: [likeness.written(client.seen), client.until]
                for name, client in self._clients.items()
            },
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "budget monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, counts, known = state["last"], read_counts(state, self._counts), state["clients"]
        if type(last) is not int or not isinstance(known, dict) or len(known) > self.capacity:
            raise DataError("the place in the stream is malformed", where="budget monitor")
        clients: OrderedDict[str, _Client] = OrderedDict()
        for name, (marks, until) in known.items():
            seen = likeness.numbers(marks, most=_WINDOW)
            if type(until) is not int:
                raise DataError("a client is malformed", where="budget monitor")
            clients[name] = _Client(deque(seen, maxlen=_WINDOW), until)
        self._last, self._counts, self._clients = last, counts, clients


def volumes(records: Iterable[Record], *, days: float = 1.0) -> dict[str, int]:
    """The most answers that each client and each tenant got within ``days``, as they count.

    For ``BudgetMonitor.usual``; the traffic must be known to be benign.
    """
    seen: dict[str, deque[int]] = {}
    times: dict[str, deque[float]] = {}
    most: dict[str, int] = {}
    for record in records:
        mark = likeness.number(record.fingerprint)
        if not _answered(record):
            continue
        for name in accounts(record):
            before = seen.setdefault(name, deque(maxlen=_WINDOW))
            if mark is not None:
                near = any((mark ^ one).bit_count() <= _RADIUS for one in before)
                before.append(mark)
                if near:
                    continue
            told = times.setdefault(name, deque())
            told.append(record.at)
            while told[0] <= record.at - days * DAY:
                told.popleft()
            most[name] = max(most.get(name, 0), len(told))
    return most


def _answered(record: Record) -> bool:
    """Whether an answer was given: what no class has as its label is none."""
    return record.outcome in {"pass", "flag"} and 0 <= record.label < 1 << 31


def _all_ticks(block: Block) -> NDArray[np.int64]:
    return np.array([_ticks(record.at) for record in block.records], dtype=np.int64)


def _ticks(at: float) -> int:
    return int(at * _TICKS)
