"""Quotas: the generic cell rate algorithm (ITU-T I.371, annex A): one number a bucket.

That number is when the bucket will be full again. A charge moves it on by ``cost * period``; it
fits as long as the moment stays within ``depth`` units of now. Buckets refill evenly, so a client
that waits as long as it is told is served.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import msgspec

from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hauberk.core.spec import QuotaSpec

DAY = 86400.0
LEASE = 300.0  # seconds after which a request in flight no longer counts: its process died
_SWEEP = _REMEMBERED = 4096


class Charge(msgspec.Struct, frozen=True):
    """``cost`` units on the bucket ``key``; one comes back every ``period`` s, up to ``depth``."""

    key: str
    cost: float
    period: float
    depth: float


class Seat(msgspec.Struct, frozen=True):
    """A place among the ``limit`` requests in flight of ``key``, for the request ``lease``."""

    key: str
    lease: str
    limit: int


class Quotas(Protocol):
    """Buckets and seats by key. ``at`` is in seconds since the epoch.

    Raises:
        EnvironmentFault: if the counts cannot be had.
    """

    def take(self, charges: Sequence[Charge], *, at: float) -> float:
        """Charge all buckets or none; 0 if charged, else seconds to wait, infinite if for good."""

    def enter(self, seat: Seat, *, at: float) -> bool:
        """Take the seat if there is one."""

    def leave(self, seat: Seat) -> None:
        """Give the seat back; one that was never taken is passed over."""


def spend(full_at: float, charge: Charge, at: float) -> tuple[float, float]:
    """When the bucket is full after the charge, and how long to wait before it fits."""
    cost, period, depth = charge.cost, charge.period, charge.depth
    after = max(at, full_at) + cost * period
    if cost > depth:
        return after, math.inf
    wait = after - at - depth * period
    return after, max(0.0, wait)


@dataclass
class MemoryQuotas:
    """Counts in this process; what is full again is forgotten."""

    _full_at: dict[str, float] = field(default_factory=dict)
    _seats: dict[str, dict[str, float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _sweep: int = _SWEEP

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, charges: Sequence[Charge], *, at: float) -> float:
        made, longest, full_at = {}, 0.0, self._full_at
        with self._lock:
            for one in charges:
                made[one.key], wait = spend(full_at.get(one.key, 0.0), one, at)
                longest = max(longest, wait)
            if longest > 0:
                return longest
            full_at.update(made)
            if len(full_at) > self._sweep:
                self._full_at = {key: full for key, full in self._full_at.items() if full > at}
                self._sweep = max(_SWEEP, 2 * len(self._full_at))
            return 0.0

    def enter(self, seat: Seat, *, at: float) -> bool:
        with self._lock:
            taken = self._seats.setdefault(seat.key, {})
            if len(taken) >= seat.limit:
                for lease in [lease for lease, ends in taken.items() if ends <= at]:
                    del taken[lease]
            if len(taken) >= seat.limit:
                return False
            taken[seat.lease] = at + LEASE
            return True

    def holds(self, seat: Seat) -> bool:
        """Whether the seat is taken here."""
        return seat.lease in self._seats.get(seat.key, {})

    def leave(self, seat: Seat) -> None:
        with self._lock:
            taken = self._seats.get(seat.key, {})
            taken.pop(seat.lease, None)
            if not taken:
                self._seats.pop(seat.key, None)


@dataclass(frozen=True, kw_only=True)
class QuotaRules:
    """What one principal may ask of one model; None bounds nothing.

    Rates are per second, ``burst`` in seconds. The daily budget is one bucket of a day's rows:
    within any day at most twice the budget passes, and the budget itself from then on.
    """

    requests: float | None = None
    bytes: float | None = None
    rows: float | None = None
    rows_per_day: float | None = None
    concurrent: int | None = None
    burst: float = 10.0

    @classmethod
    def of(cls, spec: QuotaSpec) -> QuotaRules:
        """The rules of a spec."""
        return cls(
            requests=spec.requests_per_second,
            bytes=spec.bytes_per_second,
            rows=spec.rows_per_second,
            rows_per_day=spec.rows_per_day,
            concurrent=spec.concurrent,
            burst=spec.burst,
        )

    @cached_property
    def any(self) -> bool:
        """Whether anything is bounded."""
        return self != QuotaRules(burst=self.burst)

    def arrival(self, owner: str, size: int) -> tuple[Charge, ...]:
        """What a request with a body of ``size`` bytes costs before it is read."""
        return self._remembered(("arrival", owner, size), self._arrival)

    def content(self, owner: str, rows: int) -> tuple[Charge, ...]:
        """What its rows cost."""
        return self._remembered(("content", owner, rows), self._content)

    def _arrival(self, owner: str, size: int) -> list[Charge]:
        charges = self._rate("requests", owner, self.requests, 1.0)
        charges += self._rate("bytes", owner, self.bytes, float(size))
        return charges

    def _content(self, owner: str, rows: int) -> list[Charge]:
        charges = self._rate("rows", owner, self.rows, float(rows))
        if (day := self.rows_per_day) is not None:
            charges.append(Charge(f"day/{owner}", float(rows), DAY / day, day))
        return charges

    def _remembered(
        self, key: tuple[str, str, int], make: Callable[[str, int], list[Charge]]
    ) -> tuple[Charge, ...]:
        """Charges, made once, since most requests of a client cost the same."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = tuple(make(key[1], key[2]))
        return known

    @cached_property
    def _known(self) -> dict[tuple[str, str, int], tuple[Charge, ...]]:
        return {}

    def _rate(self, kind: str, owner: str, rate: float | None, cost: float) -> list[Charge]:
        if rate is None:
            return []
        return [Charge(f"{kind}/{owner}", cost, 1 / rate, max(1.0, rate * self.burst))]


@dataclass
class Fallback:
    """Quotas that count in this process while the first choice does not answer.

    ``lost`` counts the calls that it stood in for. A choice that failed is asked again after
    ``patience`` seconds, so that each request does not wait for it.
    """

    first: Quotas
    patience: float = 1.0
    lost: int = 0
    _second: MemoryQuotas = field(default_factory=MemoryQuotas)
    _silent_until: float = 0.0

    def take(self, charges: Sequence[Charge], *, at: float) -> float:
        if at >= self._silent_until:
            try:
                return self.first.take(charges, at=at)
            except EnvironmentFault:
                self._silent_until = at + self.patience
        self.lost += 1
        return self._second.take(charges, at=at)

    def enter(self, seat: Seat, *, at: float) -> bool:
        if at >= self._silent_until:
            try:
                return self.first.enter(seat, at=at)
            except EnvironmentFault:
                self._silent_until = at + self.patience
        self.lost += 1
        return self._second.enter(seat, at=at)

    def leave(self, seat: Seat) -> None:
        if self._second.holds(seat):
            self._second.leave(seat)
            return
        try:
            self.first.leave(seat)
        except EnvironmentFault:
            return  # its lease ends by itself


def owner_of(parts: Iterable[str]) -> str:
    """The key of a principal and a model; lengths keep two pairs from becoming one."""
    return "/".join(f"{len(part)}:{part}" for part in parts)
