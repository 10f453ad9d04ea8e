"""Latency against payload and against the number of principals, as one SVG."""

from __future__ import annotations

from html import escape
from math import log10
from typing import TYPE_CHECKING

from benchmarks.table import RESULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 360, 260, 50


def plot(payload: Sequence[tuple[float, float]], principals: Sequence[tuple[float, float]]) -> None:
    """Write ``benchmarks/results/gateway.svg``; both axes are logarithmic."""
    panels = [
        _panel(payload, "KiB of the body", 0),
        _panel(principals, "principals that ask in turn", WIDTH),
    ]
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">'
        f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(panels)}</svg>\n'
    )
    (RESULTS / "gateway.svg").write_text(text)


def _panel(points: Sequence[tuple[float, float]], label: str, left: float) -> str:
    xs, ys = [log10(x) for x, _ in points], [log10(y) for _, y in points]
    low, high = min(-1.0, *ys) - 0.2, max(1.0, *ys) + 0.2

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - 2 * MARGIN)
        up = (y - low) / (high - low) * (HEIGHT - 2 * MARGIN)
        return left + MARGIN + across, HEIGHT - MARGIN - up

    spots = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    parts = [f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2"/>']
    for (x, y), (size, took) in zip(spots, points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f6feb"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{took:.2f}</text>')
        bottom = HEIGHT - MARGIN + 16
        parts.append(f'<text x="{x:.1f}" y="{bottom}" text-anchor="middle">{size:,.0f}</text>')
    middle = left + WIDTH / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(label)}</text>'
    )
    parts.append(f'<text x="{left + 12}" y="20">p50 in ms</text>')
    return "".join(parts)
