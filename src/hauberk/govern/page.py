"""The report as one HTML page: no script, no request to anywhere, the same bytes always."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hauberk.govern import story
from hauberk.govern.plot import Chart, Series, Span
from hauberk.govern.png import data_uri

if TYPE_CHECKING:
    from hauberk.govern.report import LoopReport, Picture


def page(report: LoopReport) -> str:
    """The report as HTML."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            headline=story.headline(report),
            figures=story.figures(report),
            attack_head=story.ATTACK_HEAD,
            attack_rows=[story.attack_cells(row) for row in report.rows],
            curve=_drawn(curve_chart(report), "curve"),
            stream=_drawn(stream_chart(report), "stream"),
            phases=list(dict.fromkeys(point.phase for point in report.stream)),
            moment=story.moment(report.generated_at),
        )
    )


def curve_chart(report: LoopReport) -> Chart | None:
    """Accuracy against eps before and after; None where nothing was measured."""
    series = []
    for name, which in (("before hardening", "under"), ("after hardening", "after")):
        points = story.curve(report, which)
        if not points:
            continue
        banded = all(one.low is not None and one.high is not None for _, one in points)
        series.append(
            Series(
                name=name,
                points=[(eps, one.value) for eps, one in points],
                band=[(one.low or 0.0, one.high or 0.0) for _, one in points] if banded else (),
            )
        )
    if not series:
        return None
    told = (
        f"{one.name}: " + ", ".join(f"{y:.1%} at {x:g}" for x, y in one.points) for one in series
    )
    return Chart(
        title="Accuracy against the attacker's budget",
        about="; ".join(told),
        x_label="ε, radius of the ball",
        y_label="accuracy",
        series=series,
    )


def stream_chart(report: LoopReport) -> Chart | None:
    """Accuracy over the requests, with the phases shaded; None where there is no stream."""
    points = report.stream
    if not points:
        return None
    spans: list[Span] = []
    for phase, group in groupby(points, key=lambda point: point.phase):
        first = next(group)
        if spans:
            spans[-1] = Span(name=spans[-1].name, start=spans[-1].start, end=first.request)
        spans.append(Span(name=phase, start=first.request, end=points[-1].request))
    told = "; ".join(f"{mark.text} at request {mark.request}" for mark in report.marks)
    return Chart(
        title="Accuracy over the requests",
        about=told or "accuracy over the requests",
        x_label="request",
        y_label="accuracy in the window",
        series=[
            Series(
                name="accuracy",
                points=[(point.request, point.accuracy) for point in points],
                markers=False,
            )
        ],
        spans=spans,
        marks=[(mark.request, mark.text) for mark in report.marks],
    )


def _drawn(chart: Chart | None, ident: str) -> Markup | None:
    return None if chart is None else Markup(chart.svg(ident))  # noqa: S704 - escaped in plot.py


def _picture(picture: Picture) -> str:
    return data_uri(picture.array())


def _status(text: str) -> str:
    """The CSS class of a verdict: only ``pass`` is ever green."""
    return {"pass": "pass", "FAIL": "fail", "fail": "fail"}.get(text, "unknown")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Where the pages come from: strict, everything escaped."""
    made = Environment(
        loader=PackageLoader("hauberk.govern"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(picture=_picture, clock=story.clock, status=_status)
    return made
