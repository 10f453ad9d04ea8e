"""Principals: one wager for each client, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import DataError
from hauberk.monitor.wealth import Wealth

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAME = 256


@dataclass(slots=True)
class Account:
    """One client's wager; ``number`` counts the accounts ever opened, from 1."""

    number: int
    wealth: Wealth
    evidence: float

    def limit(self, alpha: float) -> float:
        """Evidence, in nats, at which this account alarms.

        Account k has alpha/(k(k + 1)), which sums to alpha over any number of clients.
        """
        return log(self.number * (self.number + 1) / alpha)


class Principals:
    """At most ``capacity`` accounts, of ``bets`` bets each.

    When full, the account with the least evidence makes room; a client that returns opens a new
    one. So a flood of new names cannot push out a client under suspicion.
    """

    __slots__ = ("accounts", "bets", "capacity", "opened")

    def __init__(self, *, capacity: int, bets: int) -> None:
        self.capacity, self.bets = capacity, bets
        self.opened = 0
        self.accounts: dict[str, Account] = {}

    def play(self, principal: str, pays: NDArray[np.float64]) -> Account:
        """Let a client's account bet once; return the account."""
        name = principal[:_NAME]
        account = self.accounts.get(name)
        if account is None:
            if len(self.accounts) >= self.capacity:
                del self.accounts[min(self.accounts, key=lambda k: self.accounts[k].evidence)]
            self.opened += 1
            account = Account(self.opened, Wealth((self.bets,)), float("-inf"))
            self.accounts[name] = account
        account.wealth.play(pays)
        account.evidence = float(account.wealth.evidence())
        return account

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
        other = Principals(capacity=self.capacity, bets=self.bets)
        opened = state["opened"]
        if type(opened) is not int or opened < 0 or len(state["accounts"]) > self.capacity:
            raise DataError("accounts do not fit", where="principals")
        other.opened = opened
        for name, (number, wealth) in state["accounts"].items():
            if type(number) is not int or not 1 <= number <= opened:
                raise DataError("an account is malformed", where="principals")
            account = Account(number, Wealth.restored(wealth, (self.bets,)), 0.0)
            account.evidence = float(account.wealth.evidence())
            other.accounts[name] = account
        return other
