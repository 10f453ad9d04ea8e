"""A system as an SVG diagram: boundaries as boxes, components in them, flows as arrows.

Pure text, the same bytes for the same system; colours come from CSS classes within.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hauberk.govern.threats import Flow, System

BOX, TALL, GAP, EDGE, HEAD = 168, 50, 46, 26, 64
_STYLE = (
    ":root{color-scheme:light dark}text{font:13px system-ui,sans-serif;fill:currentColor}"
    ".quiet{font-size:11px;opacity:.75}.zone{fill:none;stroke:#8a94a0;stroke-dasharray:6 4}"
    ".part{fill:#0b62a41a;stroke:#0b62a4}.part.open{fill:#b423181f;stroke:#b42318}"
    ".flow{fill:none;stroke:#6b7280;stroke-width:1.5}.flow.crosses{stroke:#b4470a}"
    "#tip{fill:#6b7280}"
)


def diagram(system: System, open_threats: Mapping[str, int] | None = None) -> str:
    """The system as SVG; ``open_threats`` counts the open ones by element."""
    counts = open_threats or {}
    places = dict(_places(system))
    columns = len({x for x, _ in places.values()})
    width = EDGE + columns * (BOX + 2 * GAP) + EDGE
    height = max(y for _, y in places.values()) + TALL + GAP + 30
    body = [
        *_zones(system, places),
        *_flows(system, places, counts),
        *_parts(system, places, counts),
    ]
    name = escape(system.system.name)
    told = ", ".join(f"{flow.source} to {flow.target}" for flow in system.flow)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="threats-t threats-d">\n<title id="threats-t">{name}</title>\n'
        f'<desc id="threats-d">Flows: {escape(told)}</desc>\n<style>{_STYLE}</style>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _places(system: System) -> Iterator[tuple[str, tuple[int, int]]]:
    """The upper left corner of each component: a column for each boundary, in order."""
    used = [
        zone.id for zone in system.boundary if any(p.boundary == zone.id for p in system.component)
    ]
    for column, zone in enumerate(used):
        inside = [part for part in system.component if part.boundary == zone]
        for row, part in enumerate(inside):
            yield part.id, (EDGE + GAP + column * (BOX + 2 * GAP), HEAD + row * (TALL + GAP))


def _zones(system: System, places: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    for zone in system.boundary:
        inside = [places[part.id] for part in system.component if part.boundary == zone.id]
        if not inside:
            continue
        x, top = inside[0][0] - GAP // 2, HEAD - 36
        tall = max(y for _, y in inside) + TALL + 18 - top
        yield f'<rect class="zone" x="{x}" y="{top}" width="{BOX + GAP}" height="{tall}" rx="8"/>'
        yield f'<text class="quiet" x="{x + 8}" y="{top + 16}">{escape(zone.id)}</text>'


def _parts(
    system: System, places: Mapping[str, tuple[int, int]], counts: Mapping[str, int]
) -> Iterator[str]:
    for part in system.component:
        x, y = places[part.id]
        left = counts.get(part.id, 0)
        name = "part open" if left else "part"
        told = f"{part.kind}, {part.stage}" + (f", {left} open" if left else "")
        yield f'<rect class="{name}" x="{x}" y="{y}" width="{BOX}" height="{TALL}" rx="6"/>'
        yield f'<text x="{x + 10}" y="{y + 21}">{escape(part.id[:22])}</text>'
        yield f'<text class="quiet" x="{x + 10}" y="{y + 39}">{escape(told)}</text>'


def _flows(
    system: System, places: Mapping[str, tuple[int, int]], counts: Mapping[str, int]
) -> Iterator[str]:
    for number, flow in enumerate(system.flow):
        (x1, y1), (x2, y2) = places[flow.source], places[flow.target]
        shift = 8 * (number % 5) - 16  # so that arrows between the same boxes stay apart
        start, end, bend = _ends(x1, x2)
        a, b = y1 + TALL // 2 + shift, y2 + TALL // 2 + shift
        back = bend if x1 == x2 else -bend
        name = "flow crosses" if system.crosses(flow) else "flow"
        yield (
            f'<path class="{name}" marker-end="url(#tip)" '
            f'd="M{start} {a}C{start + bend} {a} {end + back} {b} {end} {b}">'
            f"<title>{escape(_told(flow, counts))}</title></path>"
        )


def _ends(x1: int, x2: int) -> tuple[int, int, int]:
    """Where an arrow leaves, where it arrives, and how far it bends."""
    if x1 == x2:
        return x1 + BOX, x1 + BOX, GAP // 2
    return (x1 + BOX, x2, GAP) if x1 < x2 else (x1, x2 + BOX, -GAP)


def _told(flow: Flow, counts: Mapping[str, int]) -> str:
    carried = f" carries {', '.join(flow.carries)}" if flow.carries else ""
    left = counts.get(flow.id, 0)
    return f"{flow.id}{carried}" + (f" ({left} open)" if left else "")
