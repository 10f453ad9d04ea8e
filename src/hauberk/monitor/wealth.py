"""Wealth: betting against clean traffic, valid at any time and quick after a long quiet."""

from __future__ import annotations

from math import exp, inf, log
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hauberk.core.errors import DataError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Bet = tuple[float, float, float]

_SHIFT = 9
_SCALE = log(_SHIFT)
_sum = np.add.reduce
_LARGEST = 1e300
_MOST, _CUT = exp(200), 64


def check_share(name: str, value: float) -> None:
    """Raise a UserError unless ``value`` lies strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise UserError(f"{name} must lie between 0 and 1, not {value}")


def table(
    levels: Sequence[float] | NDArray[np.float64], bets: Iterable[Bet]
) -> NDArray[np.float64]:
    """What each bet multiplies by: ``(levels + 1, bets)``, row j for p = levels[j], last for 1.

    A bet ``(low, high, stake)`` spreads its stake evenly over the levels u in [low, high] (the
    next one above where there is none); on a level it pays 1/u where p ≤ u, which under the null
    is at most 1 on average.

    Raises:
        UserError: if the levels do not ascend within (0, 1], or a stake is outside (0, 1).
    """
    u = np.asarray(levels, dtype=np.float64)
    if u.ndim != 1 or not len(u) or u[0] <= 0 or u[-1] > 1 or (np.diff(u) < 0).any():
        raise UserError("levels must ascend within (0, 1]")
    won = np.concatenate((u, [1.0]))[:, None] <= u
    columns = []
    for low, high, stake in bets:
        check_share("a stake", stake)
        on = (u >= low) & (u <= high)
        if not on.any():
            on[min(int(u.searchsorted(low)), len(u) - 1)] = True
        columns.append(1 - stake + stake * (won[:, on] / u[on]).mean(axis=1))
    pays: NDArray[np.float64] = np.stack(columns, axis=1)
    return pays


def entry(t: int) -> float:
    """The capital that enters before step ``t`` ≥ 1; all of it sums to at most 1.

    1/((t + 9) log²(t + 9)), scaled: a late start costs little more than log t, in nats.
    """
    age = t + _SHIFT
    return _SCALE / (age * log(age) ** 2)


class Wealth:
    """Capital in bets: M_t = L_t (M_{t-1} + w_t) with Σ w_t ≤ 1 for each bet.

    Under the null M_t plus the capital yet to enter is a supermartingale that starts at 1, so by
    Ville's inequality the mean over the bets ever reaches 1/alpha with a probability of at most
    alpha, however long the stream. Capital that enters late has lost nothing before, so a change
    after a long quiet is found about as fast (a mixture over change points: Shiryaev 1963; e-value
    form: Shin, Ramdas and Rinaldo 2024, E-detectors). ``shape`` is (..., bets). What goes beyond
    e^200 is cut off now and then, which only makes the test shyer.
    """

    __slots__ = ("money", "t")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.t = 0
        self.money: NDArray[np.float64] = np.zeros(shape)

    def play(self, pays: NDArray[np.float64]) -> None:
        """Let capital enter, and multiply by what the bets pay (of ``shape``, as factors)."""
        self.t += 1
        self.money += entry(self.t)
        self.money *= pays
        if not self.t % _CUT:
            self.cut()

    def cut(self) -> None:
        """Cut off what no test asks for, every 64 steps: infinity must not take part."""
        np.minimum(self.money, _MOST, out=self.money)

    def withdraw(self) -> None:
        """Give up what was won; this never hurts validity."""
        self.money[...] = 0.0

    def evidence(self) -> NDArray[np.float64]:
        """Logarithm of the mean over the last axis; -inf before the first step."""
        mean = np.add.reduce(self.money, axis=-1) / self.money.shape[-1]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mean), dtype=np.float64)

    def mean(self) -> float:
        """Mean over all bets: what is held against 1/alpha."""
        return float(_sum(self.money)) / self.money.size

    def state(self) -> list[float]:
        """Step and capital."""
        return [self.t, *np.minimum(self.money, _LARGEST).ravel().tolist()]

    @classmethod
    def restored(cls, state: Any, shape: tuple[int, ...]) -> Self:
        """The wealth that gave the state.

        Raises:
            DataError: if the state has another form.
        """
        wealth = cls(shape)
        if not isinstance(state, list) or len(state) != 1 + wealth.money.size:
            raise DataError("a state of other bets", where="monitor")
        step, money = state[0], [float(value) for value in state[1:]]
        if type(step) is not int or step < 0:
            raise DataError("a state without its step", where="monitor")
        if not all(0 <= value < inf for value in money):
            raise DataError("capital that no bets can have won", where="monitor")
        wealth.t, wealth.money = step, np.array(money).reshape(shape)
        return wealth
