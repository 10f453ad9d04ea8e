"""CampaignMonitor: does a client search the model, or copy it?"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.interval import wilson
from hauberk.guard.fingerprint import BITS
from hauberk.monitor import likeness
from hauberk.monitor.alarm import alarm, whom
from hauberk.monitor.block import NAME, accounts
from hauberk.monitor.fold import State, read_counts, read_state
from hauberk.monitor.shiryaev_roberts import ShiryaevRoberts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.monitor.block import Block

SIGNS: Mapping[str, str] = {
    "similar": "sends queries that resemble each other, as a search for an adversarial input does",
    "unusual": "sends inputs unlike those calibrated, as who copies a model with other data does",
}
"""Sign → what it says in words."""

_STAKES = (0.05, 0.2, 0.5)


@dataclass(slots=True)
class _Client:
    """What is remembered of one client: newest fingerprints, and a test for each sign."""

    seen: deque[int]
    tests: dict[str, ShiryaevRoberts]


@dataclass(kw_only=True, eq=False)
class CampaignMonitor:
    """Evidence ``HB-D007`` on one client, or on one tenant's clients together.

    ``similar``: a query is within ``radius`` of the 128 bits of one of the same client's last
    ``window`` queries. ``unusual``: its clean p-value is at most ``small``. Each share is tested
    against a base, ``similar`` and ``unusual``, or what ``tenants`` says of a tenant: under it a
    false alarm comes once in ``run_length`` of the client's requests at most, on average. Then
    the client's test starts anew. Each tenant as a whole is tested as well, against four times as
    many queries, so that sybils and diluted queries meet there.

    Video, retries and test-time augmentation look like a search: measure a tenant's base with
    :func:`bases` before its clients are held to it. This asks for a step-up, never for a block.

    Raises:
        UserError: if a setting is out of range.
    """

    window: int = 32
    radius: int = 15
    similar: float = 0.1
    unusual: float = 0.2
    small: float = 0.1
    run_length: float = 1e4
    capacity: int = 512
    tenants: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        every = [self.similar, self.unusual, self.small]
        every += [base for bases in self.tenants.values() for base in bases.values()]
        if not all(0.0 < share < 1.0 for share in every):
            raise UserError("shares must lie within (0, 1)")
        if min(self.window, self.capacity) < 1 or not 0 <= self.radius < BITS // 2:
            raise UserError("window, capacity and radius are out of range")
        if not 1 < self.run_length < float("inf"):
            raise UserError("run_length must be above 1")
        self._counts = {"used": 0, "ignored": 0, "alarms": 0}
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._dropped = 0
        self._pays: dict[float, NDArray[np.float64]] = {}

    def update(self, record: Record, /) -> Evidence | None:
        """Take one record; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        mark = likeness.number(record.fingerprint)
        if mark is None and record.p_value is None:
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        found = None
        for name in accounts(record):
            signs = self._signs(name, mark, record)
            for sign, shown in signs.items():
                worth = self._play(name, sign, shown, self._base(record.tenant, sign))
                if worth >= self.run_length and found is None:
                    found = self._alarm(record, name, sign, worth)
        return found

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last:
            return start
        if block.words is None or block.accounts.longest >= NAME:
            return start
        groups = block.accounts.groups(np.arange(start, end))
        if len(self._clients) + sum(name not in self._clients for name in groups) > self.capacity:
            return start  # someone would have to make room
        dropped, similar = block.once("campaign", lambda: self._similar(block, start, len(block)))
        if dropped != self._dropped:  # who was forgotten since has nothing to be near to
            similar = self._similar(block, start, end)[1]
        stop, played = end, []
        for name, rows in groups.items():
            client = self._clients.get(name) or self._new(name)
            tenant = block.records[rows[0]].tenant
            measured = rows[block.has_p[rows]]
            unusual = block.p_value[measured] <= self.small
            alike = similar[rows, int(name.startswith("tenant/"))]
            shown = {"similar": (rows, alike), "unusual": (measured, unusual)}
            tests = {}
            for sign, (on, bits) in shown.items():
                test = tests[sign] = client.tests[sign].copy()
                pays = self._table(self._base(tenant, sign))[bits.astype(np.int64)]
                took = test.run(pays, self.run_length * len(_STAKES))
                if took < len(on):
                    stop = min(stop, int(on[took]))
            played.append((int(rows[-1]), name, client, tests, rows[-self._room(name) :]))
        if stop < end:
            return self.skip(block, start, stop) if stop > start else start
        for _, name, client, tests, rows in sorted(played, key=lambda one: one[0]):
            client.seen.extend(block.marks[row] for row in rows.tolist())
            client.tests = tests
            self._clients[name] = client
            self._clients.move_to_end(name)
        self._counts["used"] += end - start
        self._last = block.seq[end - 1]
        return end

    def _similar(self, block: Block, start: int, end: int) -> tuple[int, NDArray[np.bool_]]:
        """How many were forgotten so far, and which records are near one shortly before.

        ``(n, 2)``: near one of the client's, one of the tenant's; of ``start`` up to ``end`` alone.
        """
        words = block.words
        assert words is not None
        out = np.zeros((len(block), 2), dtype=np.bool_)
        for name, rows in block.accounts.groups(np.arange(start, end)).items():
            client = self._clients.get(name)
            out[rows, int(name.startswith("tenant/"))] = likeness.near(
                likeness.of_numbers(client.seen if client else ()),
                words[rows],
                room=self._room(name),
                radius=self.radius,
            )
        return self._dropped, out

    def _signs(self, name: str, mark: int | None, record: Record) -> dict[str, bool]:
        client = self._client(name)
        signs = {}
        if mark is not None:
            signs["similar"] = _near(mark, client.seen, self.radius)
            client.seen.append(mark)
        if record.p_value is not None:
            signs["unusual"] = record.p_value <= self.small
        return signs

    def _client(self, name: str) -> _Client:
        client = self._clients.get(name)
        if client is None:
            if len(self._clients) >= self.capacity:
                self._make_room()
            client = self._clients[name] = self._new(name)
        self._clients.move_to_end(name)
        return client

    def _new(self, name: str) -> _Client:
        tests = {sign: ShiryaevRoberts((len(_STAKES),)) for sign in SIGNS}
        return _Client(deque(maxlen=self._room(name)), tests)

    def _room(self, name: str) -> int:
        """How many queries are remembered of a client, and of a tenant."""
        return self.window * (4 if name.startswith("tenant/") else 1)

    def _make_room(self) -> None:
        """Drop the least suspect of the longest unseen; a flood of names pushes no one out."""
        self._dropped += 1
        oldest = [name for name, _ in zip(self._clients, range(8), strict=False)]
        del self._clients[min(oldest, key=lambda name: _worth(self._clients[name]))]

    def _base(self, tenant: str, sign: str) -> float:
        usual = self.similar if sign == "similar" else self.unusual
        return self.tenants.get(tenant, {}).get(sign, usual)

    def _play(self, name: str, sign: str, shown: bool, base: float) -> float:  # noqa: FBT001
        test = self._clients[name].tests[sign]
        test.play(self._table(base)[int(shown)])
        return test.mean()

    def _table(self, base: float) -> NDArray[np.float64]:
        """What the stakes pay ``(2, stakes)`` where a sign is not shown, and where it is."""
        if base not in self._pays:
            stakes = np.array(_STAKES)
            # Winning 1/base on a share of at most base is fair at most.
            self._pays[base] = np.stack((1 - stakes, 1 - stakes + stakes / base))
        return self._pays[base]

    def _alarm(self, record: Record, name: str, sign: str, worth: float) -> Evidence:
        self._counts["alarms"] += 1
        test = self._clients[name].tests[sign]
        who, of = whom(name, record)
        played = test.t
        test.withdraw()
        test.t = 0
        return alarm(
            "HB-D007",
            record,
            value=log(worth),
            limit=log(self.run_length),
            message=f"{who} {SIGNS[sign]} (evidence {log(worth):.1f} nats after "
            f"{played} requests; usual traffic comes this far once in {self.run_length:g})",
            spec={
                "sign": sign,
                **of,
                "requests": played,
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "clients": {
                name: [
                    likeness.written(client.seen),
                    {sign: test.state() for sign, test in client.tests.items()},
                ]
                for name, client in self._clients.items()
            },
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "campaign monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, counts = state["last"], read_counts(state, self._counts)
        known_clients = state["clients"]
        if type(last) is not int or not isinstance(known_clients, dict):
            raise DataError("the place in the stream is malformed", where="campaign monitor")
        if len(known_clients) > self.capacity:
            raise DataError("the place in the stream is malformed", where="campaign monitor")
        clients: OrderedDict[str, _Client] = OrderedDict()
        for name, (marks, tests) in known_clients.items():
            room = self._room(name)
            known = likeness.numbers(marks, most=room)
            if set(tests) != set(SIGNS):
                raise DataError("a client is malformed", where="campaign monitor")
            restored = {s: ShiryaevRoberts.restored(tests[s], (len(_STAKES),)) for s in SIGNS}
            clients[name] = _Client(deque(known, maxlen=room), restored)
        self._last, self._counts, self._clients = last, counts, clients


def bases(
    records: Iterable[Record], *, window: int = 32, radius: int = 15, small: float = 0.1
) -> dict[str, dict[str, float]]:
    """What each tenant's usual traffic shows of each sign: upper ends of 99.9 % intervals.

    For ``CampaignMonitor.tenants``; the traffic must be known to be benign. ``similar`` is the
    larger share of the two that are tested: of queries like one of the same client's, ``own``, and
    like one of the tenant's last ``4 * window``.
    """
    seen: dict[tuple[str, ...], deque[int]] = {}
    counts: dict[str, dict[str, list[int]]] = {}
    for record in records:
        own, every = (record.tenant, record.principal), (record.tenant,)
        tenant = counts.setdefault(record.tenant, {"own": [0, 0], "every": [0, 0], "odd": [0, 0]})
        mark = likeness.number(record.fingerprint)
        if mark is not None:
            for part, key, room in (("own", own, window), ("every", every, 4 * window)):
                before = seen.setdefault(key, deque(maxlen=room))
                tenant[part][0] += _near(mark, before, radius)
                tenant[part][1] += 1
                before.append(mark)
        if record.p_value is not None:
            tenant["odd"][0] += record.p_value <= small
            tenant["odd"][1] += 1
    return {
        tenant: {
            "own": _most(parts["own"]),
            "similar": max(_most(parts["own"]), _most(parts["every"])),
            "unusual": _most(parts["odd"]),
        }
        for tenant, parts in counts.items()
    }


def _most(pair: list[int]) -> float:
    return min(wilson(*pair, z=3.3)[1], 0.999)


def _near(mark: int, seen: Iterable[int], radius: int) -> bool:
    """Whether one differs from the mark in at most ``radius`` bits."""
    # Called a hundred times a request: a plain loop, since a call for each one costs twice as much.
    for one in seen:  # noqa: SIM110
        if (mark ^ one).bit_count() <= radius:
            return True
    return False


def _worth(client: _Client) -> float:
    return max(test.mean() for test in client.tests.values())
