"""Wealth: betting against clean traffic, valid at any time and quick after a long quiet."""

from __future__ import annotations

from functools import lru_cache
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
_MOST = exp(200)
_PAGE, _RUNS = 1024, 16
SHY = 1 - 1e-9
"""Sums of many rows may round otherwise than that of one: what is this near is not passed over."""
CUT = 32
"""Steps from a cut to the next; so few that no product of them leaves the numbers' range."""


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


@lru_cache(maxsize=256)
def _entries(page: int) -> NDArray[np.float64]:
    """The entries of the ``_PAGE`` steps after step ``page * _PAGE``."""
    return np.array([entry(t + 1) for t in range(page * _PAGE, (page + 1) * _PAGE)])


@lru_cache(maxsize=256)
def _blank(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Zeros and ones, not to be written to."""
    zeros, ones = np.zeros(shape), np.ones(shape)
    zeros.flags.writeable = ones.flags.writeable = False
    return zeros, ones


def _quiet(money: NDArray[np.float64], most: float) -> int:
    """How many rows of ``money`` ``(n, ..., bets)`` come before one with a sum of ``most``."""
    if np.maximum.reduce(money, axis=None) * money.shape[-1] < most:
        return len(money)  # as it mostly is
    fine = (np.add.reduce(money, axis=-1) < most).reshape(len(money), -1).all(axis=1)
    return len(money) if fine.all() else int(fine.argmin())


class Wealth:
    """Capital in bets: M_t = L_t (M_{t-1} + w_t) with Σ w_t ≤ 1 for each bet.

    Under the null M_t plus the capital yet to enter is a supermartingale that starts at 1, so by
    Ville's inequality the mean over the bets ever reaches 1/alpha with a probability of at most
    alpha, however long the stream. Capital that enters late has lost nothing before, so a change
    after a long quiet is found about as fast (a mixture over change points: Shiryaev 1963; e-value
    form: Shin, Ramdas and Rinaldo 2024, E-detectors). ``shape`` is (..., bets). What goes beyond
    e^200 is cut off now and then, which only makes the test shyer.

    Kept are what was held at the last cut, ``base``; the product of what was paid since, ``gain``;
    and what entered since, each part divided by the gain of its time. So many steps are a product
    and a sum along time, in one order of the same roundings as one by one: :meth:`run` and
    :meth:`play` give the same bits.
    """

    __slots__ = ("base", "entered", "gain", "t")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.t = 0
        # Arrays are replaced, never written to, so that all may begin with the same.
        self.base, self.gain = _blank(shape)
        self.entered = self.base

    @property
    def money(self) -> NDArray[np.float64]:
        """What each bet holds."""
        return self._worth(self.gain, self.entered, self.base)

    def play(self, pays: NDArray[np.float64]) -> None:
        """Let capital enter, and multiply by what the bets pay (of ``shape``, as factors)."""
        self.t += 1
        self.entered = self._join(self.entered, self._enter(self.t) / self.gain)
        self.gain = self.gain * pays
        if not self.t % CUT:
            self._cut()

    def run(self, pays: NDArray[np.float64], most: float) -> int:
        """Play rows of ``pays`` ``(n, *shape)`` while all stays quiet; how many were played.

        Quiet is where what is held sums to less than ``most`` over the last axis, everywhere. The
        first row after which it would not be is not played, nor one that comes very near to it.
        """
        done, n, most = 0, len(pays), most * SHY
        while done < n:
            left = min(CUT - self.t % CUT, n - done)
            if left == CUT:
                took, asked = self._run_whole(pays[done : done + (n - done) // CUT * CUT], most)
            else:
                took, asked = self._run_part(pays[done : done + left], most), left
            done += took
            if took < asked:
                break
        return done

    def _run_part(self, pays: NDArray[np.float64], most: float) -> int:
        """Rows up to the next cut at most."""
        k = len(pays)
        gains = np.empty((k + 1, *self.gain.shape))
        gains[0], gains[1:] = self.gain, pays
        np.multiply.accumulate(gains, axis=0, out=gains)
        entered = np.empty_like(gains)
        entered[0] = self.entered
        np.divide(self._enters(self.t, k), gains[:-1], out=entered[1:])
        self._join.accumulate(entered, axis=0, out=entered)
        took = _quiet(self._worth(gains[1:], entered[1:], self.base), most)
        self.gain, self.entered = gains[took].copy(), entered[took].copy()
        self.t += took
        if took and not self.t % CUT:
            self._cut()
        return took

    def _run_whole(self, pays: NDArray[np.float64], most: float) -> tuple[int, int]:
        """Rows from one cut to another, at most ``_RUNS`` such runs; and how many those were."""
        runs = min(len(pays) // CUT, _RUNS)
        shape = (runs, CUT, *self.gain.shape)
        gains = np.multiply.accumulate(pays[: runs * CUT].reshape(shape), axis=1)
        entered = np.empty(shape)
        enters = self._enters(self.t, runs * CUT)
        enters = np.broadcast_to(enters, (runs * CUT, *self.gain.shape)).reshape(shape)
        entered[:, 0] = enters[:, 0]
        np.divide(enters[:, 1:], gains[:, :-1], out=entered[:, 1:])
        self._join.accumulate(entered, axis=1, out=entered)
        bases = np.empty((runs + 1, *self.gain.shape))
        bases[0] = self.base
        for place in range(runs):
            held = self._worth(gains[place, -1], entered[place, -1], bases[place])
            np.minimum(held, _MOST, out=bases[place + 1])
        money = self._worth(gains, entered, bases[:-1, None])
        took = _quiet(money.reshape(-1, *self.gain.shape), most)
        whole, part = divmod(took, CUT)
        self.t += took
        self.base = bases[whole].copy()
        self._settle()
        if part:
            self.gain, self.entered = gains[whole, part - 1].copy(), entered[whole, part - 1].copy()
        return took, runs * CUT

    _join: np.ufunc = np.add
    """How what enters joins what had entered."""

    def _enter(self, t: int) -> float:
        return entry(t)

    def _enters(self, t: int, k: int) -> NDArray[np.float64] | float:
        """What enters in the ``k`` steps after step ``t``, for each as a column for all bets."""
        pages = range(t // _PAGE, (t + k - 1) // _PAGE + 1)
        first = t % _PAGE
        entries = np.concatenate([_entries(page) for page in pages])[first : first + k]
        return entries.reshape(-1, *(1 for _ in self.gain.shape))

    def _worth(
        self, gain: NDArray[np.float64], entered: NDArray[np.float64], base: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return gain * (base + entered)

    def _cut(self) -> None:
        """Cut off what no test asks for: infinity must not take part."""
        self.base = np.minimum(self.money, _MOST)
        self._settle()

    def _settle(self) -> None:
        self.entered, self.gain = _blank(self.base.shape)

    def withdraw(self) -> None:
        """Give up what was won; this never hurts validity."""
        self._settle()
        self.base = self.entered

    def copy(self) -> Self:
        """Another that goes on from here."""
        other = type(self).__new__(type(self))
        other.t, other.base, other.gain = self.t, self.base, self.gain
        other.entered = self.entered
        return other

    def evidence(self) -> NDArray[np.float64]:
        """Logarithm of the mean over the last axis; -inf before the first step."""
        mean = np.add.reduce(self.money, axis=-1) / self.base.shape[-1]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mean), dtype=np.float64)

    def mean(self) -> float:
        """Mean over all bets: what is held against 1/alpha."""
        return float(_sum(self.money)) / self.base.size

    def state(self) -> list[float]:
        """Step and what is held; of a run between two cuts, gain and what entered as well."""
        parts = [self.base]
        if self.t % CUT:
            parts += [self.gain, self.entered]
        return [self.t, *(v for part in parts for v in np.minimum(part, _LARGEST).ravel().tolist())]

    @classmethod
    def restored(cls, state: Any, shape: tuple[int, ...]) -> Self:
        """The wealth that gave the state.

        Raises:
            DataError: if the state has another form.
        """
        wealth = cls(shape)
        size = wealth.base.size
        if not isinstance(state, list) or len(state) not in {1 + size, 1 + 3 * size}:
            raise DataError("a state of other bets", where="monitor")
        step, money = state[0], [float(value) for value in state[1:]]
        if type(step) is not int or step < 0:
            raise DataError("a state without its step", where="monitor")
        if not all(0 <= value < inf for value in money):
            raise DataError("capital that no bets can have won", where="monitor")
        parts = np.array(money).reshape(-1, *shape)
        wealth.t, wealth.base = step, parts[0]
        if len(parts) > 1:
            wealth.gain, wealth.entered = parts[1], parts[2]
        return wealth
