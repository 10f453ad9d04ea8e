"""Principals: one wager for each client, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf, log
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import DataError
from hauberk.monitor.wealth import Wealth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Limit = Callable[["Account"], float]

_NAME, _STALE = 256, 4


@dataclass(slots=True)
class Account:
    """One client's wager, worth ``worth``; ``number`` counts the accounts ever opened, from 1."""

    number: int
    wealth: Wealth
    worth: float

    @property
    def evidence(self) -> float:
        """Logarithm of what it is worth, in nats."""
        return log(self.worth) if self.worth > 0 else -inf

    def limit(self, alpha: float) -> float:
        """Worth at which this account alarms.

        Account k has alpha/(k(k + 1)), which sums to alpha over any number of clients.
        """
        return self.number * (self.number + 1) / alpha


class Principals:
    """At most ``capacity`` accounts, of ``bets`` bets each, in wealth of one ``kind``.

    When full, the account that is worth the least makes room; a client that returns opens a new
    one. So a flood of new names cannot push out a client under suspicion.
    """

    __slots__ = ("_poorest", "accounts", "bets", "capacity", "kind", "opened")

    def __init__(self, *, capacity: int, bets: int, kind: type[Wealth] = Wealth) -> None:
        self.capacity, self.bets, self.kind = capacity, bets, kind
        self.opened = 0
        self.accounts: dict[str, Account] = {}
        # (worth, number, name); an entry that no longer tells an account's worth is passed over.
        self._poorest: list[tuple[float, int, str]] = []

    def play(self, principal: str, pays: NDArray[np.float64]) -> Account:
        """Let a client's account bet once; return the account."""
        name = principal if len(principal) <= _NAME else principal[:_NAME]
        account = self.accounts.get(name)
        if account is None:
            if len(self.accounts) >= self.capacity:
                self._make_room()
            self.opened += 1
            account = Account(self.opened, self.kind((self.bets,)), 0.0)
            self.accounts[name] = account
        account.wealth.play(pays)
        account.worth = account.wealth.mean()
        heappush(self._poorest, (account.worth, account.number, name))
        if len(self._poorest) > _STALE * max(self.capacity, 64):
            self._sort()
        return account

    def renew(self, principal: str) -> None:
        """Let a client's account begin anew."""
        name = principal[:_NAME]
        account = self.accounts[name]
        account.wealth.withdraw()
        account.wealth.t, account.worth = 0, 0.0
        heappush(self._poorest, (account.worth, account.number, name))

    def holds(self, names: Iterable[str]) -> bool:
        """Whether all of these have an account, or can open one without another's making room."""
        new = 0
        for name in names:
            if len(name) > _NAME:
                return False
            new += name not in self.accounts
        return len(self.accounts) + new <= self.capacity

    def skip(
        self, names: Mapping[str, NDArray[np.int64]], pays: NDArray[np.float64], limit: Limit
    ) -> int:
        """Let accounts bet on all rows of ``pays`` ``(n, bets)``, or on none.

        ``names`` holds the places of each client's rows, names in the order of their first row.
        Return n, or the first row after which some account would not be below its limit; -1 where
        one would have to make room.
        """
        if not self.holds(names):
            return -1
        opened, n, played = self.opened, len(pays), []
        for name, rows in names.items():
            account = self.accounts.get(name)
            opened += account is None
            account = account or Account(opened, self.kind((self.bets,)), 0.0)
            wealth = account.wealth.copy()
            took = wealth.run(pays[rows], limit(account) * self.bets)
            if took < len(rows):
                n = min(n, int(rows[took]))
            played.append((name, account, wealth))
        if n < len(pays):
            return n
        for name, account, wealth in played:
            account.wealth, account.worth = wealth, wealth.mean()
            self.accounts[name] = account
            heappush(self._poorest, (account.worth, account.number, name))
        self.opened = opened
        if len(self._poorest) > _STALE * max(self.capacity, 64):
            self._sort()
        return n

    def _make_room(self) -> None:
        while True:
            worth, number, name = heappop(self._poorest)
            account = self.accounts.get(name)
            if account and (account.number, account.worth) == (number, worth):
                del self.accounts[name]
                return

    def _sort(self) -> None:
        self._poorest = [(a.worth, a.number, name) for name, a in self.accounts.items()]
        heapify(self._poorest)

    def state(self) -> dict[str, object]:
        """Everything, in the order in which the accounts were opened."""
        return {
            "opened": self.opened,
            "accounts": {n: [a.number, a.wealth.state()] for n, a in self.accounts.items()},
        }

    def restored(self, state: Any) -> Principals:
        """Principals of the same settings that go on from a state.

        Raises:
            DataError: if there are too many accounts, or one is malformed.
        """
        other = Principals(capacity=self.capacity, bets=self.bets, kind=self.kind)
        opened = state["opened"]
        if type(opened) is not int or opened < 0 or len(state["accounts"]) > self.capacity:
            raise DataError("accounts do not fit", where="principals")
        other.opened = opened
        for name, (number, wealth) in state["accounts"].items():
            if type(number) is not int or not 1 <= number <= opened:
                raise DataError("an account is malformed", where="principals")
            account = Account(number, self.kind.restored(wealth, (self.bets,)), 0.0)
            account.worth = account.wealth.mean()
            other.accounts[name] = account
        other._sort()
        return other
