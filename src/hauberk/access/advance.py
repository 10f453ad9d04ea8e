"""Advance: shared counts that are drawn on a little ahead, so that most requests are counted here.

To count each request where all processes count costs a file's lock or a network's way, four times.
A process that draws a four-hundredth of a bucket at once asks for the next when that is spent.
What it drew is paid for. So over any time at most a four-hundredth of the bucket for each process
passes beyond what it bounds, drawn before that time; and as much may be missing to the others,
drawn and not spent. It is forgotten after the time in which an empty bucket fills.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hauberk.access.quota import LEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.access.quota import Charge, Quotas, Seat

_SHARE = 1 / 400
_WORTH = 4  # times a charge's cost: less ahead saves nothing
_SEATS = 8  # of so many one is kept between requests, for a while
_IDLE = 2.0
_MOST = 4096


@dataclass
class _Drawn:
    """Units that are paid for, and until when they are good."""

    units: float
    until: float


@dataclass
class _Kept:
    """A seat that is ours, since when, and when it was last taken."""

    seat: Seat
    since: float
    used: float

    def is_stale(self, at: float) -> bool:
        return at - self.used >= _IDLE or at - self.since >= LEASE / 4


@dataclass
class Advance:
    """Quotas over shared ones; safe to call from several threads at once."""

    first: Quotas
    _drawn: dict[str, _Drawn] = field(default_factory=dict)
    _free: dict[str, list[_Kept]] = field(default_factory=dict)
    _taken: dict[str, _Kept] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def near(self, charges: Sequence[Charge], seats: str, *, at: float) -> bool:
        """Whether these can be counted, and a seat of this key taken, without asking anybody."""
        with self._lock:
            held = self._free.get(seats) if seats else None
            if seats and not (held and at - held[-1].since < LEASE / 4):
                return False
            return all(self._units(one.key, at) >= one.cost for one in charges)

    def take(self, charges: Sequence[Charge], *, at: float) -> float:
        """Charge all buckets or none; 0 if charged, else seconds to wait, infinite if for good."""
        here: list[Charge] = []
        short: list[Charge] = []
        with self._lock:
            for one in charges:
                if self._units(one.key, at) >= one.cost:
                    self._drawn[one.key].units -= one.cost
                    here.append(one)
                else:
                    short.append(one)
        if not short:
            return 0.0
        wait = 1.0
        try:
            wait = self._draw(short, at)
        finally:
            if wait > 0:
                self._give_back(here)
        return wait

    def enter(self, seat: Seat, *, at: float) -> bool:
        """Take the seat if there is one."""
        with self._lock:
            held = self._free.get(seat.key)
            if held and at - held[-1].since < LEASE / 4:
                kept = held.pop()
                kept.used = at
                self._taken[seat.lease] = kept
                return True
        if not self.first.enter(seat, at=at):
            return False
        with self._lock:
            self._taken[seat.lease] = _Kept(seat, since=at, used=at)
        return True

    def leave(self, seat: Seat) -> None:
        """Give the seat back, or keep it for the next request; one never taken is passed over."""
        with self._lock:
            found = self._taken.pop(seat.lease, None)
            if found is None:
                return
            held = self._free.setdefault(seat.key, [])
            if len(held) < seat.limit // _SEATS and len(self._free) <= _MOST:
                held.append(found)
                return
            if not held:
                del self._free[seat.key]
        self.first.leave(found.seat)

    def sweep(self, *, at: float) -> None:
        """Give back the seats that were not used for two seconds, or will soon be lost.

        Raises:
            EnvironmentFault: if the shared counts cannot be had; the seats end by themselves.
        """
        with self._lock:
            old: list[_Kept] = []
            for key, held in list(self._free.items()):
                stale = [one for one in held if one.is_stale(at)]
                old += stale
                self._free[key] = [one for one in held if not one.is_stale(at)]
                if not self._free[key]:
                    del self._free[key]
        for one in old:
            self.first.leave(one.seat)

    def _units(self, key: str, at: float) -> float:
        """What is left of a bucket's advance; the lock is held."""
        drawn = self._drawn.get(key)
        return 0.0 if drawn is None or at >= drawn.until else drawn.units

    def _draw(self, short: Sequence[Charge], at: float) -> float:
        """Charge these where all count, with an advance if there is room for it."""
        more = [max(0.0, one.depth * _SHARE - one.cost) for one in short]
        more = [
            0.0 if ahead < _WORTH * one.cost else ahead
            for one, ahead in zip(short, more, strict=True)
        ]
        if any(more):
            ahead = [
                replace(one, cost=one.cost + extra) for one, extra in zip(short, more, strict=True)
            ]
            if self.first.take(ahead, at=at) == 0.0:
                self._keep(short, more, at)
                return 0.0
        return self.first.take(short, at=at)

    def _keep(self, short: Sequence[Charge], more: Sequence[float], at: float) -> None:
        with self._lock:
            if len(self._drawn) > _MOST:
                self._drawn = {key: one for key, one in self._drawn.items() if at < one.until}
            for one, extra in zip(short, more, strict=True):
                if extra:
                    left = self._units(one.key, at)
                    self._drawn[one.key] = _Drawn(left + extra, at + one.depth * one.period)

    def _give_back(self, here: Sequence[Charge]) -> None:
        with self._lock:
            for one in here:
                if one.key in self._drawn:
                    self._drawn[one.key].units += one.cost
