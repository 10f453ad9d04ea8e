"""Small SVG charts: lines with bands, steps, shaded phases and marks. Pure text, no library.

Colours come from the CSS classes ``s0``, ``s1`` … (series) and ``p0``, ``p1`` … (phases), so that
a page draws them in its own light or dark palette; series differ by dash and marker as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 46, 48
_ROW = 20


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line through points ``(x, y)``; ``band`` holds ``(low, high)`` for each, or nothing.

    A ``guide`` belongs to no series: thin, without markers, in no series' colour.
    """

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()
    markers: bool = True
    guide: bool = False


@dataclass(frozen=True, kw_only=True)
class Span:
    """A shaded stretch of the x axis, named in the legend; equal names look equal."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What to draw. The y axis runs from 0 to 1, shown in per cent.

    With ``shares`` the x axis shows per cent too, with room at both ends.
    ``title`` and ``about`` are what a screen reader says.
    """

    title: str
    about: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    spans: Sequence[Span] = ()
    marks: Sequence[tuple[float, str]] = ()
    shares: bool = False

    def svg(self, ident: str) -> str:
        """The chart as an SVG element; ``ident`` makes its ids unique on the page."""
        scale = _Scale(*self._range())
        legend, rows = _legend(self)
        above = _ROW * (rows - 1)
        body = [
            *_spans(self.spans, scale),
            *_axes(self, scale),
            *(part for n, one in enumerate(self.series) for part in _series(one, n, scale)),
            *_marks(self.marks, scale),
            *legend,
        ]
        return (
            f'<svg class="chart" viewBox="0 {-above} {WIDTH} {HEIGHT + above}" role="img" '
            f'aria-labelledby="{ident}-t {ident}-d" xmlns="http://www.w3.org/2000/svg">\n'
            f'<title id="{ident}-t">{escape(self.title)}</title>\n'
            f'<desc id="{ident}-d">{escape(self.about)}</desc>\n' + "\n".join(body) + "\n</svg>"
        )

    def _range(self) -> tuple[float, float]:
        xs = [x for one in self.series for x, _ in one.points]
        xs += [x for span in self.spans for x in (span.start, span.end)]
        low, high = min(xs, default=0.0), max(xs, default=1.0)
        if self.shares:
            room = max(0.05 * (high - low), 0.002)
            return low - room, high + room
        return (low, high) if high > low else (low, low + 1.0)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def x(self, value: float) -> str:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"

    def y(self, value: float) -> str:
        return f"{HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM):.1f}"


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers within ``[low, high]``, about as many as asked for."""
    raw = (high - low) / max(1, about)
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _axes(chart: Chart, scale: _Scale) -> Iterator[str]:
    floor_y = HEIGHT - BOTTOM
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = scale.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield _text(LEFT - 8, float(y) + 4, f"{value:.0%}", "end")
    for value in ticks(scale.low, scale.high):
        x = scale.x(value)
        yield f'<line class="axis" x1="{x}" x2="{x}" y1="{floor_y}" y2="{floor_y + 5}"/>'
        shown = f"{100 * value:g}%" if chart.shares else f"{value:,g}"
        yield _text(float(x), floor_y + 19, shown, "middle")
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor_y}" y2="{floor_y}"/>'
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, chart.x_label, "middle")
    middle = (TOP + floor_y) / 2
    yield (
        f'<text class="label" transform="translate(14 {middle:.1f}) rotate(-90)" '
        f'text-anchor="middle">{escape(chart.y_label)}</text>'
    )


def _series(one: Series, number: int, scale: _Scale) -> Iterator[str]:
    name = _look(one, number)
    line = " ".join(f"{scale.x(x)},{scale.y(y)}" for x, y in one.points)
    if one.band:
        pairs = list(zip(one.points, one.band, strict=True))
        above = [f"{scale.x(x)},{scale.y(high)}" for (x, _), (_, high) in pairs]
        below = [f"{scale.x(x)},{scale.y(low)}" for (x, _), (low, _) in reversed(pairs)]
        yield f'<polygon class="band s{number % 4}" points="{" ".join(above + below)}"/>'
    yield f'<polyline class="{name}" points="{line}"/>'
    if one.markers and not one.guide:
        for x, y in one.points:
            yield _marker(float(scale.x(x)), float(scale.y(y)), number)


def _look(one: Series, number: int) -> str:
    return "guide" if one.guide else f"line s{number % 4}"


def _marker(x: float, y: float, number: int) -> str:
    """Colours come again after four series, with the other marker."""
    name = f"dot s{number % 4}"
    if (number + number // 4) % 2:
        return f'<rect class="{name}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    return f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def _spans(spans: Sequence[Span], scale: _Scale) -> Iterator[str]:
    names = list(dict.fromkeys(span.name for span in spans))
    for span in spans:
        start, end = float(scale.x(span.start)), float(scale.x(span.end))
        yield (
            f'<rect class="phase p{names.index(span.name) % 6}" x="{start:.1f}" y="{TOP}" '
            f'width="{max(0.0, end - start):.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        )


def _marks(marks: Sequence[tuple[float, str]], scale: _Scale) -> Iterator[str]:
    """Vertical lines with numbered heads; the legend beneath the chart names them."""
    places = [float(scale.x(value)) for value, _ in marks]
    for number, (x, head) in enumerate(zip(places, _apart(places), strict=True), start=1):
        yield f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<line class="mark" x1="{head:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{TOP}"/>'
        yield f'<circle class="head" cx="{head:.1f}" cy="{TOP - 13}" r="8"/>'
        yield _text(head, TOP - 9, str(number), "middle", "number")


def _apart(places: Sequence[float], gap: float = 17.0) -> list[float]:
    """Where to put heads so that those close together stand side by side, within the frame."""
    heads: list[float] = []
    for place in places:
        heads.append(max(place, heads[-1] + gap) if heads else place)
    last = WIDTH - RIGHT + gap
    for number in reversed(range(len(heads))):
        last = heads[number] = min(heads[number], last - gap)
    return heads


def _legend(chart: Chart) -> tuple[list[str], int]:
    """The names of the series, and in how many rows; further rows stand above the first."""
    if len(chart.series) < 2:
        return [], 1
    rows: list[list[tuple[float, int, Series]]] = [[]]
    x = float(LEFT)
    for number, one in enumerate(chart.series):
        wide = 54 + 7.2 * len(one.name)
        if rows[-1] and x + wide > WIDTH:
            rows.append([])
            x = float(LEFT)
        rows[-1].append((x, number, one))
        x += wide
    parts = []
    for place, row in enumerate(rows):
        y = 16 - _ROW * (len(rows) - 1 - place)
        for x, number, one in row:
            look = _look(one, number)
            parts.append(f'<line class="{look}" x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}"/>')
            if one.markers and not one.guide:
                parts.append(_marker(x + 13, y, number))
            parts.append(_text(x + 33, y + 4, one.name, "start"))
    return parts, len(rows)


def _text(x: float, y: float, text: str, anchor: str, name: str = "label") -> str:
    return (
        f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
