"""Intervals for the figures that travel with their uncertainty."""

from __future__ import annotations

from math import sqrt

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
