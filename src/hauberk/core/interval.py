"""Intervals for the figures that travel with their uncertainty."""

from __future__ import annotations

from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Z95 = 1.959963984540054


def wilson(successes: int, n: int, *, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927); ``(0, 1)`` where ``n`` is 0."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = p + z * z / (2 * n)
    spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + spread) / scale)
    return low, high


def paired_gain(before: int, after: int, n: int, *, z: float = Z95) -> tuple[float, float]:
    """Interval of the change in a proportion over the same ``n`` samples.

    ``before`` counts the samples right only before, ``after`` those right only after. Agresti and
    Min (2005): Wald's interval on the discordant pairs with half a count added to each cell.
    """
    total = n + 2
    b, c = (before + 0.5) / total, (after + 0.5) / total
    spread = z * sqrt(max(0.0, b + c - (c - b) ** 2) / total)
    return max(-1.0, c - b - spread), min(1.0, c - b + spread)


_STUDENT = (12.706, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of a mean, over at least two values.

    The quantile is from a table to ten degrees of freedom, beyond by the first terms of its
    expansion in the normal one, right to 0.001.
    """
    freedom = len(values) - 1
    if freedom <= len(_STUDENT):
        quantile = _STUDENT[freedom - 1]
    else:
        quantile = Z95 + (Z95**3 + Z95) / (4 * freedom)
        quantile += (5 * Z95**5 + 16 * Z95**3 + 3 * Z95) / (96 * freedom**2)
    mean, spread = fmean(values), quantile * stdev(values) / sqrt(len(values))
    return mean - spread, mean + spread
