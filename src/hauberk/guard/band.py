"""Band: what calibration order statistics say of a tail, with a stated probability."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINIMUM = 20
_RATIO = 1.35
_DEEPEST = 0.8
_DRAWS = 40_000


def ranks(n: int) -> NDArray[np.int64]:
    """Ranks 1, 2, … in geometric steps up to 0.8 n: those at which a tail is bounded.

    Raises:
        DataError: if there are fewer than 20 samples.
    """
    if n < MINIMUM:
        raise DataError(
            f"{n} samples are too few to calibrate on",
            where="calibration",
            hint=f"{MINIMUM} at least, 300 for a test with power",
        )
    steps = np.arange(int(np.log(_DEEPEST * n) / np.log(_RATIO)) + 1)
    return np.unique(np.round(_RATIO**steps)).astype(np.int64)


@lru_cache(maxsize=64)
def levels(n: int, delta: float) -> tuple[float, ...]:
    """Bounds, ascending, on the tail beyond each of ``ranks(n)``; all hold but with ``delta``.

    With a probability of at least ``1 - delta`` over the draw of ``n`` independent samples, a
    further one lies beyond the r-th most extreme with at most the bound of r, for all ranks at
    once. That tail has the law of the r-th order statistic of uniforms; the bounds invert the
    one-sided statistic of Berk and Jones (1979), max over r of n·kl((r - 1)/n, tail), whose
    quantile is simulated with a fixed seed and taken two standard errors to the safe side. Such
    bounds make conformal p-values valid conditionally on the calibration set (Bates et al. 2023,
    Testing for outliers with conformal p-values, section 3).

    Raises:
        DataError: if ``n`` is too small or ``delta`` outside (0, 1).
    """
    if not 0.0 < delta < 1.0:
        raise DataError(f"delta must lie in (0, 1), not {delta}", where="calibration")
    order = ranks(n)
    below = (order - 1) / n
    gaps = np.diff(np.concatenate(([0], order, [n + 1])))
    sums = np.random.default_rng(n).standard_gamma(gaps, size=(_DRAWS, len(gaps))).cumsum(axis=1)
    tails = sums[:, :-1] / sums[:, -1:]
    worst = np.where(tails > below, _kl(below, tails), 0.0).max(axis=1)
    share = max(delta - 2 * np.sqrt(delta * (1 - delta) / _DRAWS), 1 / _DRAWS)
    reach = np.quantile(worst, 1 - share, method="higher")
    low, high = below.copy(), np.ones_like(below)
    for _ in range(60):
        middle = (low + high) / 2
        inside = _kl(below, middle) <= reach
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return tuple(float(bound) for bound in high)


def _kl(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divergence of a coin of probability ``b`` from one of ``a`` < 1, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(a > 0, a * np.log(a / b), 0.0)
        tails = (1 - a) * np.log((1 - a) / (1 - b))
    both: NDArray[np.float64] = heads + tails
    return both
