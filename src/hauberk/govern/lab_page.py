"""An evaluation as one HTML page: curves, classes, pictures, queries, and how to repeat it.

No script, no request to anywhere, the same bytes always.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup

from hauberk.govern.page import environment
from hauberk.govern.plot import Chart, Series
from hauberk.govern.rows import HEAD, row, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.evidence import Evidence
    from hauberk.govern.report import Example


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Shares of samples that stay right, with their 95 % intervals, against one quantity.

    ``points`` holds ``(x, share, low, high)``.
    """

    name: str
    points: Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class: how many samples, and the shares that are right untouched and attacked."""

    label: int
    n: int
    clean: float
    robust: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LabPage:
    """What is shown. ``command`` repeats all of it; ``row`` is the line for a leader board."""

    title: str
    command: str
    evidence: Sequence[Evidence]
    curves: Sequence[Curve]
    classes: Sequence[ClassRow] = ()
    examples: Sequence[Example] = ()
    queries: Sequence[Curve] = ()
    row: Sequence[tuple[str, str]] = ()
    facts: dict[str, str] = field(default_factory=dict)

    def html(self) -> str:
        """The page."""
        return (
            environment()
            .get_template("lab.html.j2")
            .render(
                page=self,
                head=[name.lower() or "verdict" for name in HEAD],
                rows=[row(one) for one in self.evidence],
                told=summary(self.evidence),
                curve=_drawn(self.curves, "curve", "ε, radius of the ball"),
                queries=_drawn(self.queries, "queries", "queries allowed for a sample"),
            )
        )


def _drawn(curves: Sequence[Curve], ident: str, x_label: str) -> Markup | None:
    """A chart of the curves; None without any."""
    if not curves:
        return None
    told = (
        f"{one.name}: " + ", ".join(f"{y:.1%} at {x:g}" for x, y, _, _ in one.points)
        for one in curves
    )
    chart = Chart(
        title=f"Accuracy against {x_label}",
        about="; ".join(told),
        x_label=x_label,
        y_label="accuracy",
        series=[
            Series(
                name=one.name,
                points=[(x, y) for x, y, _, _ in one.points],
                band=[(low, high) for _, _, low, high in one.points],
            )
            for one in curves
        ],
    )
    return Markup(chart.svg(ident))  # noqa: S704 - escaped in plot.py
