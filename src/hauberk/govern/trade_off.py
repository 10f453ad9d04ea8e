"""Ways of hardening against each other: a table, the Pareto front, convergence; for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hauberk.govern.plot import Chart, Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD = (
    *("way", "seeds", "clean", "robust", "front", "int8 robust"),
    *("train s", "CPU s", "peak MiB", "p50 ms", "p95 ms", "cost"),
)

Mean = tuple[float, tuple[float, float]]
"""A mean and its 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of hardening over its seeds. Accuracies in [0, 1], with 95 % intervals.

    ``curve`` holds ``(epoch, robust)`` of one seed on validation data; ``cost`` is in the unit of
    the price, None where none was stated.
    """

    name: str
    seeds: int
    clean: Mean
    robust: Mean
    int8_robust: Mean
    seconds: float
    cpu_seconds: float
    peak_mib: float
    p50_ms: float
    p95_ms: float
    cost: float | None
    attacks: Mapping[str, Mapping[str, Mean]]
    curve: Sequence[tuple[int, float]]


def front(ways: Sequence[Way]) -> list[Way]:
    """Those that no other beats in clean and robust accuracy at once, by clean accuracy."""
    kept = [one for one in ways if not any(_beats(other, one) for other in ways)]
    return sorted(kept, key=lambda one: one.clean[0])


def _beats(one: Way, other: Way) -> bool:
    better = (one.clean[0] - other.clean[0], one.robust[0] - other.robust[0])
    return min(better) >= 0 and max(better) > 0


def rows(ways: Sequence[Way]) -> list[list[str]]:
    """A cell for each name in :data:`HEAD`."""
    best = front(ways)
    return [
        [
            one.name,
            str(one.seeds),
            mean_text(one.clean),
            mean_text(one.robust),
            "yes" if one in best else "",
            mean_text(one.int8_robust),
            f"{one.seconds:.1f}",
            f"{one.cpu_seconds:.1f}",
            f"{one.peak_mib:.0f}",
            f"{one.p50_ms:.3f}",
            f"{one.p95_ms:.3f}",
            "-" if one.cost is None else f"{one.cost:.4f}",
        ]
        for one in ways
    ]


def mean_text(value: Mean) -> str:
    """As in ``97.8 % [95.2, 99.0]``."""
    mean, (low, high) = value
    # No break within a figure or an interval.
    return f"{100 * mean:.1f}\u00a0% [{100 * low:.1f},\u00a0{100 * high:.1f}]"


def pareto_chart(ways: Sequence[Way]) -> Chart:
    """Robust against clean accuracy, one mark each, and the front as a line."""
    best = front(ways)
    marks = [Series(name=one.name, points=[(one.clean[0], one.robust[0])]) for one in ways]
    line = Series(name="front", points=[(one.clean[0], one.robust[0]) for one in best], guide=True)
    told = "; ".join(f"{one.name}: {one.clean[0]:.1%} and {one.robust[0]:.1%}" for one in ways)
    return Chart(
        title="Robust against clean accuracy",
        about=f"{told}. On the front: {', '.join(one.name for one in best)}",
        x_label="clean accuracy",
        y_label="robust accuracy",
        series=[*marks, line],
        shares=True,
    )


def curve_chart(ways: Sequence[Way]) -> Chart:
    """Robust accuracy on validation data over the epochs."""
    series = [Series(name=one.name, points=list(one.curve)) for one in ways if one.curve]
    ends = "; ".join(f"{one.name} ends at {one.points[-1][1]:.1%}" for one in series)
    return Chart(
        title="Robust accuracy over the epochs",
        about=ends or "nothing was measured on the way",
        x_label="epoch",
        y_label="robust accuracy",
        series=series,
    )
