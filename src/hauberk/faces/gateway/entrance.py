"""Entrance: who comes in, to do what, and how often: identity, then policy, then quota."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from hauberk.access.advance import Advance
from hauberk.access.policy import Policy, Roles, Target
from hauberk.access.quota import MemoryQuotas, QuotaRules, Quotas, Seat, owner_of
from hauberk.access.refusal import UnknownKey
from hauberk.core.errors import EnvironmentFault, HauberkError
from hauberk.faces.gateway.faults import Forbidden, NotNow, TooMany, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hauberk.access.principal import Action, Principal
    from hauberk.access.quota import Charge
    from hauberk.access.tokens import KeySet
    from hauberk.faces.gateway.identity import Proofs


# Leases must differ between the processes that share a count.
_PROCESS, _NUMBERS = uuid4().hex, count()


HELD = QuotaRules(rows=0.5, burst=20.0)
"""What a client gets whose queries look like a campaign: a row every two seconds, ten at once."""


def _free(rows: int) -> None:
    """Charge nothing."""
    del rows


class Visit(msgspec.Struct, frozen=True):
    """One request that was let in: by whom, and by which policy. ``rows`` charges its rows."""

    principal: Principal
    policy: str = ""
    rows: Callable[[int], None] = _free


class Place:
    """One of a principal's places among the requests in flight, held within a ``with`` block."""

    __slots__ = ("_quotas", "_seat")

    def __init__(self, quotas: Quotas, seat: Seat | None) -> None:
        self._quotas, self._seat = quotas, seat

    def __enter__(self) -> None:
        """Nothing more: it was taken when it was made."""

    def __exit__(self, *error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give it back."""
        if self._seat is not None:
            try:
                self._quotas.leave(self._seat)
            except HauberkError:
                return  # its lease ends by itself


@dataclass
class Entrance:
    """Lets requests in, or says why not.

    ``renew`` fetches the issuer's keys anew and ``reload`` the policy; both block, and are called
    beside the event loop. A policy that cannot be reloaded leaves the last good one in force.
    """

    proofs: Proofs
    policy: Policy = field(default_factory=Roles)
    data_class: str = "internal"
    rules: QuotaRules = field(default_factory=QuotaRules)
    quotas: Quotas = field(default_factory=MemoryQuotas)
    renew: Callable[[float, bool], KeySet] | None = None
    clock: Callable[[], float] = time.time
    held: dict[tuple[str, str], float] = field(default_factory=dict)

    def hold(self, held: dict[tuple[str, str], float]) -> None:
        """Give these clients, by tenant and name, but ``HELD`` until the time that is said."""
        self.held = held

    async def admit(
        self,
        authorization: bytes | None,
        certificate: Mapping[str, Any] | None,
        action: Action,
        model: str,
    ) -> Visit:
        """Let a request in.

        Raises:
            Unauthenticated: if nobody known asks.
            Forbidden: if the policy does not permit it.
        """
        principal = await self.identify(authorization, certificate)
        return self.permit(principal, action, model)

    async def identify(
        self, authorization: bytes | None, certificate: Mapping[str, Any] | None = None
    ) -> Principal:
        """Who asks; keys newer than ours are fetched once.

        Raises:
            Unauthenticated: if nobody known asks.
        """
        try:
            return self.proofs.identify(authorization, certificate)
        except UnknownKey:
            await asyncio.to_thread(self.freshen, renew=True)
        try:
            return self.proofs.identify(authorization, certificate)
        except UnknownKey as error:
            raise Unauthenticated(error.what) from None

    def permit(self, principal: Principal, action: Action, model: str) -> Visit:
        """Hold an action against the policy.

        Raises:
            Forbidden: if it does not permit it.
        """
        ruling = self.policy.rule(principal, action, Target(model, self.data_class))
        if not ruling.allowed:
            raise Forbidden("the policy does not allow it", policy=ruling.policy)
        if action != "infer" or not (self.rules.any or self._is_held(principal)):
            return Visit(principal, ruling.policy)
        return Visit(principal, ruling.policy, partial(self.charge_rows, principal, model))

    def is_near(self, principal: Principal, model: str, size: int, rows: int) -> bool:
        """Whether a request of up to so many bytes and rows can be counted without a wait."""
        quotas = self.quotas
        if isinstance(quotas, MemoryQuotas) or not self.rules.any:
            return True
        if not isinstance(quotas, Advance) or self._is_held(principal):
            return False
        owner, rules = _owner(principal, model), self.rules
        charges = [*rules.arrival(owner, size), *rules.content(owner, rows)]
        seats = "" if rules.concurrent is None else f"seats/{owner}"
        return quotas.near(charges, seats, at=self.clock())

    def charge_arrival(self, principal: Principal, model: str, size: int) -> None:
        """Charge a request and the bytes of its body; may block.

        Raises:
            TooMany: if the quota does not cover it now.
            NotNow: if the counts cannot be had.
        """
        self._take(self.rules.arrival(_owner(principal, model), size))

    def charge_rows(self, principal: Principal, model: str, rows: int) -> None:
        """Charge its rows; raises as :meth:`charge_arrival` does."""
        if self._is_held(principal):
            self._take_held(principal, model, rows)
        self._take(self.rules.content(_owner(principal, model), rows))

    def _is_held(self, principal: Principal) -> bool:
        until = self.held.get((principal.tenant, principal.name)) if self.held else None
        return until is not None and until > self.clock()

    def _take_held(self, principal: Principal, model: str, rows: int) -> None:
        try:
            self._take(HELD.content(f"held/{_owner(principal, model)}", rows))
        except TooMany as error:
            why = "fewer answers for now: these queries resemble a search or a copying of the model"
            raise TooMany(why, wait=error.wait) from None

    def seat(self, principal: Principal, model: str) -> Place:
        """Take one of the principal's places among the requests in flight.

        Raises:
            TooMany: if all are taken.
            NotNow: if the counts cannot be had.
        """
        if self.rules.concurrent is None:
            return Place(self.quotas, None)
        key = f"seats/{_owner(principal, model)}"
        seat = Seat(key, f"{_PROCESS}-{next(_NUMBERS)}", self.rules.concurrent)
        try:
            entered = self.quotas.enter(seat, at=self.clock())
        except EnvironmentFault:
            raise NotNow("quotas cannot be counted now") from None
        if not entered:
            raise TooMany("too many requests of yours at once", wait=1.0)
        return Place(self.quotas, seat)

    def tidy(self) -> list[str]:
        """Give back what of the shared counts is not used; to be called now and then."""
        if isinstance(self.quotas, Advance):
            with suppress(EnvironmentFault):
                self.quotas.sweep(at=self.clock())
        return []

    def freshen(self, *, renew: bool = False) -> None:
        """Take the issuer's keys as they are now; none that may be used means no token is good."""
        if self.renew is None or self.proofs.tokens is None:
            return
        from hauberk.access.tokens import KeySet  # noqa: PLC0415 - of an extra

        try:
            keys = self.renew(self.clock(), renew)
        except HauberkError:
            keys = KeySet({})
        if keys is not self.proofs.tokens.keys:
            self.proofs.tokens.renew(keys)

    def _take(self, charges: Sequence[Charge]) -> None:
        if not charges:
            return
        try:
            wait = self.quotas.take(charges, at=self.clock())
        except EnvironmentFault:
            raise NotNow("quotas cannot be counted now") from None
        if math.isinf(wait):
            raise TooMany("more at once than the quota ever allows", wait=None)
        if wait > 0:
            raise TooMany("over the quota", wait=wait)


def _owner(principal: Principal, model: str) -> str:
    return _key(principal.tenant, principal.name, model)


@lru_cache(maxsize=4096)
def _key(tenant: str, name: str, model: str) -> str:
    return owner_of((tenant, name, model))
