"""Requests to the alarm against the attack's share, for each data set, as one SVG.

``python -m benchmarks.detection_plot`` draws ``results/detection.json`` anew.
"""

from __future__ import annotations

import json
import sys
from math import log10
from typing import TYPE_CHECKING, Any

from benchmarks.table import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WIDE, HIGH, LEFT, TOP, BOTTOM = 430, 330, 48, 34, 96
SHARES = ("100 %", "30 %", "10 %", "5 %", "1 %")
MOST = 2000
"""The most requests that a stream holds; what is not found by then is drawn above it."""
TARGETS = {"100 %": 15, "30 %": 70}
LINES = {
    "fgsm": "#1b6ca8",
    "pgd": "#b5532a",
    "pgd that stops": "#d99a2b",
    "carlini-wagner": "#6a4c93",
    "square": "#3a7d44",
    "transfer from the twin": "#888888",
    "transfer from another": "#333333",
    "adaptive, weight 1": "#c2185b",
}


def plot(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page: a panel for each data set that has rows, the act level solid, warn dashed."""
    known = {row["id"]: row["measured"] for row in rows}
    names = [n for n in ("digits", "mnist", "cifar10", "gtsrb") if f"{n}: {_accuracy}" in known]
    panels = [
        f'<g transform="translate({WIDE * (at % 2)} {HIGH * (at // 2)})">'
        + "\n".join(_panel(name, known))
        + "</g>"
        for at, name in enumerate(names)
    ]
    high = HIGH * ((len(names) + 1) // 2)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDE} {high}" '
        'font-family="sans-serif" font-size="11">\n'
        f'<rect width="{2 * WIDE}" height="{high}" fill="white"/>\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


_accuracy = "accuracy of the served model: clean"


def _x(number: int) -> float:
    return LEFT + 14 + number * (WIDE - LEFT - 40) / (len(SHARES) - 1)


def _y(requests: float | None) -> float:
    floor, above = HIGH - BOTTOM, TOP + 16
    if requests is None:
        return TOP + 4
    return floor - log10(max(1.0, requests)) / log10(MOST) * (floor - above)


def _panel(name: str, known: Mapping[str, float | None]) -> Iterator[str]:
    floor = HIGH - BOTTOM
    yield f'<path d="M{LEFT} {TOP}V{floor}H{WIDE - 14}" fill="none" stroke="#444"/>'
    yield _text(LEFT, 18, f"{name}: requests to the alarm, median; solid acts, dashed warns")
    for value in (1, 10, 100, 1000):
        yield _text(LEFT - 6, _y(value) + 4, str(value), "end")
        yield f'<path d="M{LEFT} {_y(value):.1f}H{WIDE - 14}" stroke="#eee"/>'
    yield _text(LEFT - 6, _y(None) + 4, "never", "end")
    for number, share in enumerate(SHARES):
        yield _text(_x(number), floor + 15, share, "middle")
        if name == "cifar10" and share in TARGETS:
            x, y = _x(number), _y(TARGETS[share])
            yield f'<path d="M{x - 9:.1f} {y:.1f}h18" stroke="#000" stroke-width="2"/>'
    yield _text(_x(2), floor + 30, "share of requests that are hostile", "middle")
    for number, (attack, colour) in enumerate(LINES.items()):
        for level, dash in (("act", ""), ("warn", ' stroke-dasharray="4 3"')):
            yield from _line(name, level, attack, f'stroke="{colour}"{dash}', known)
        x, y = LEFT + 190 * (number % 2), floor + 46 + 13 * (number // 2)
        yield f'<path d="M{x} {y - 4}h16" stroke="{colour}" stroke-width="2"/>'
        yield _text(x + 21, y, attack)


def _line(
    name: str, level: str, attack: str, look: str, known: Mapping[str, float | None]
) -> Iterator[str]:
    """A line through what was measured; a ring where half of the streams ended without alarm."""
    points = []
    for number, share in enumerate(SHARES):
        row = f"{name}: {level}: requests to alarm, {attack}, {share}"
        if row in known:
            points.append((_x(number), _y(known[row]), known[row] is None))
    if not points:
        return
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    yield f'<polyline points="{line}" fill="none" {look} stroke-width="1.6"/>'
    for x, y, never in points:
        if never and level == "act":
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="white" {look}/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def main() -> int:
    rows = json.loads((RESULTS / "detection.json").read_text())["rows"]
    (RESULTS / "detection.svg").write_text(plot(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
