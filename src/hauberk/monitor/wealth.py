"""Wealth: betting against clean traffic, valid at any time and quick after a long quiet."""

from __future__ import annotations

from math import inf, log
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Bet = tuple[float, float, float]

_SHIFT = 9


def check_share(name: str, value: float) -> None:
    """Raise a UserError unless ``value`` lies strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise UserError(f"{name} must lie between 0 and 1, not {value}")


def table(
    levels: Sequence[float] | NDArray[np.float64], bets: Iterable[Bet]
) -> NDArray[np.float64]:
    """What each bet pays in nats: ``(levels + 1, bets)``, row j for p = levels[j], the last for 1.

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
    pays: NDArray[np.float64] = np.log(np.stack(columns, axis=1))
    return pays


def row(levels: NDArray[np.float64], p: float) -> int:
    """Row of the table for a p-value: that of the smallest level not below it."""
    return int(levels.searchsorted(p))


def entry(t: int) -> float:
    """Logarithm of the capital that enters before step ``t`` ≥ 1; all of it sums to at most 1.

    1/((t + 9) log²(t + 9)), scaled: a late start costs little more than log t.
    """
    age = t + _SHIFT
    return log(log(_SHIFT)) - log(age) - 2 * log(log(age))


class Wealth:
    """Capital in bets, in nats: M_t = L_t (M_{t-1} + w_t) with Σ w_t ≤ 1 for each bet.

    Under the null M_t plus the capital yet to enter is a supermartingale that starts at 1, so by
    Ville's inequality the mean over the bets ever reaches 1/alpha with a probability of at most
    alpha, however long the stream. Capital that enters late has lost nothing before, so a change
    after a long quiet is found about as fast (a mixture over change points: Shiryaev 1963; e-value
    form: Shin, Ramdas and Rinaldo 2024, E-detectors). ``shape`` is (..., bets).
    """

    __slots__ = ("nats", "t")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.t = 0
        self.nats: NDArray[np.float64] = np.full(shape, -inf)

    def play(self, pays: NDArray[np.float64]) -> None:
        """Let capital enter, and multiply by what the bets pay (of ``shape``, in nats)."""
        self.t += 1
        self.nats = np.logaddexp(self.nats, entry(self.t)) + pays

    def withdraw(self) -> None:
        """Give up what was won; this never hurts validity."""
        self.nats = np.full(self.nats.shape, -inf)

    def evidence(self) -> NDArray[np.float64]:
        """Logarithm of the mean over the last axis; -inf before the first step."""
        mean = np.logaddexp.reduce(self.nats, axis=-1) - log(self.nats.shape[-1])
        return np.asarray(mean, dtype=np.float64)

    def state(self) -> list[float | None]:
        """Step and capital; None stands for none at all."""
        return [self.t, *(None if v == -inf else v for v in self.nats.ravel().tolist())]

    @classmethod
    def restored(cls, state: Any, shape: tuple[int, ...]) -> Wealth:
        """The wealth that gave the state.

        Raises:
            DataError: if the state has another form.
        """
        wealth = cls(shape)
        if not isinstance(state, list) or len(state) != 1 + wealth.nats.size:
            raise DataError("a state of other bets", where="monitor")
        step, nats = state[0], [-inf if value is None else float(value) for value in state[1:]]
        if type(step) is not int or step < 0:
            raise DataError("a state without its step", where="monitor")
        if np.isnan(nats).any() or np.isposinf(nats).any():
            raise DataError("a state holds NaN or an infinity", where="monitor")
        wealth.t, wealth.nats = step, np.array(nats).reshape(shape)
        return wealth
