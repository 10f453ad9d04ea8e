"""MembershipMonitor: does a client ask what the model was trained on?"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.interval import wilson
from hauberk.monitor import likeness
from hauberk.monitor.alarm import alarm, whom
from hauberk.monitor.block import NAME, accounts
from hauberk.monitor.fold import State, read_counts, read_state
from hauberk.monitor.principals import Principals
from hauberk.monitor.shiryaev_roberts import ShiryaevRoberts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.monitor.block import Block
    from hauberk.monitor.trained import Trained

_STAKES = (0.05, 0.2, 0.5)
_USUAL = 0.02


@dataclass(kw_only=True, eq=False)
class MembershipMonitor:
    """Evidence ``HB-D015`` on a client many of whose inputs look like training samples.

    Who wants to know of a sample whether the model was trained on it has to ask about it, or about
    copies of it (Shokri et al. 2017; Choquette-Choo et al. 2021): inputs that others hardly send.
    The share of a client's inputs that are known to ``trained`` is tested against ``usual``, or
    what ``tenants`` says of a tenant: a false alarm comes once in ``run_length`` of the client's
    requests at most, on average. Each tenant is tested as a whole too, so that sybils meet there.

    Work with the training data itself looks the same: measure a tenant's share with :func:`shares`.

    Raises:
        UserError: if a setting is out of range.
    """

    trained: Trained
    usual: float = _USUAL
    run_length: float = 1e4
    capacity: int = 1024
    tenants: Mapping[str, float] = field(default_factory=dict)
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        if not all(0.0 < share < 1.0 for share in (self.usual, *self.tenants.values())):
            raise UserError("shares must lie within (0, 1)")
        if self.capacity < 2 or not 1 < self.run_length < float("inf"):
            raise UserError("capacity must be at least 2, and run_length above 1")
        self._counts = {"used": 0, "ignored": 0, "alarms": 0}
        self._clients = self._none()
        stakes = np.array(_STAKES)
        # Winning 1/share on what happens in at most that share is fair at most.
        self._pays = {
            share: np.stack((1 - stakes, 1 - stakes + stakes / share))
            for share in {self.usual, *self.tenants.values()}
        }

    def update(self, record: Record, /) -> Evidence | None:
        """Take one record; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        marks = likeness.words([record.fingerprint])
        if marks is None:
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        pays = self._of(record.tenant)[int(self.trained.knows(marks[0]))]
        found = None
        for name in accounts(record):
            account = self._clients.play(name, pays)
            if account.worth >= self.run_length:
                found = found or self._alarm(record, name, account.worth, account.wealth.t)
                self._clients.renew(name)
        return found

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last:
            return start
        known, rows = block.once("trained", lambda: self._known(block)), np.arange(start, end)
        if known is None:
            return start
        shown = known[rows].astype(np.int64)
        if self.tenants:
            tables = np.stack([self._of(block.records[row].tenant) for row in rows.tolist()])
            pays = tables[np.arange(len(rows)), shown]
        else:
            pays = self._pays[self.usual][shown]
        groups = block.accounts.groups(rows)
        names = {name: at - start for name, at in sorted(groups.items(), key=_first_of)}
        took = self._clients.skip(names, pays, lambda _: self.run_length)
        if took < len(rows):
            return self.skip(block, start, start + took) if took > 0 else start
        self._counts["used"] += len(rows)
        self._last = block.seq[end - 1]
        return end

    def _known(self, block: Block) -> NDArray[np.bool_] | None:
        words = block.words
        usual = words is not None and block.accounts.longest < NAME
        return self.trained.known(words) if usual and words is not None else None

    def _none(self) -> Principals:
        return Principals(capacity=self.capacity, bets=len(_STAKES), kind=ShiryaevRoberts)

    def _of(self, tenant: str) -> NDArray[np.float64]:
        return self._pays[self.tenants.get(tenant, self.usual)]

    def _alarm(self, record: Record, name: str, worth: float, played: int) -> Evidence:
        self._counts["alarms"] += 1
        who, of = whom(name, record)
        return alarm(
            "HB-D015",
            record,
            value=log(worth),
            limit=log(self.run_length),
            message=f"{who} asks about what the model was trained on (evidence "
            f"{log(worth):.1f} nats after {played} requests; usual traffic comes this far once in "
            f"{self.run_length:g})",
            spec={
                **of,
                "requests": played,
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "clients": self._clients.state(),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "membership monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, counts = state["last"], read_counts(state, self._counts)
        if type(last) is not int:
            raise DataError("the place in the stream is malformed", where="membership monitor")
        clients = self._none().restored(state["clients"])
        self._last, self._counts, self._clients = last, counts, clients


def shares(records: Iterable[Record], trained: Trained) -> dict[str, float]:
    """What share of each tenant's inputs looks like training samples: ends of 99.9 % intervals.

    For ``MembershipMonitor.tenants``; the traffic must be known to be benign. No share is below the
    monitor's own: records that another key made fingerprints of look like nothing that is known.
    """
    seen: dict[str, list[str]] = {}
    for record in records:
        seen.setdefault(record.tenant, []).append(record.fingerprint)
    out = {}
    for tenant, marks in seen.items():
        words = likeness.words([mark for mark in marks if mark])
        if words is not None and len(words):
            known = int(trained.known(words).sum())
            out[tenant] = min(max(wilson(known, len(words), z=3.3)[1], _USUAL), 0.999)
    return out


def _first_of(group: tuple[str, NDArray[np.int64]]) -> tuple[int, str]:
    """Accounts are opened in the order of their first record, a client's before its tenant's."""
    return int(group[1][0]), group[0]
