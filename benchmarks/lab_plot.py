"""What an attack costs, as lines: against the number of images, their size, and the radius."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from torch.nn.functional import interpolate

from benchmarks.lab_models import Subject, subjects
from benchmarks.lab_peers import peers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.threat import Norm

    Ours = Callable[[Attack, Subject, Norm], Tensor]
    Made = Callable[[str, Subject], Attack]

PEER = "torchattacks"
WIDE, HIGH, LEFT, TOP = 300, 240, 52, 40
COLOURS = {"ours": "#1b6ca8", PEER: "#b5532a"}
Line = list[tuple[float, float]]


def plots(images: int, ours: Ours, made: Made) -> str:
    """PGD-40 on the robust CIFAR network, in processor seconds, as one SVG."""
    (whole,) = subjects(["cifar-robust"], images, "linf")
    panels: list[tuple[str, list[tuple[float, Subject]]]] = [
        ("images", [(len(one.x), one) for one in _fewer(whole)]),
        ("pixels a side", [(one.x.shape[-1], one) for one in _sizes(whole)]),
        ("eps × 255", [(one.eps * 255, one) for one in _radii(whole)]),
    ]
    drawn = []
    for number, (label, cases) in enumerate(panels):
        lines = {"ours": _line(cases, lambda one: ours(made("pgd-40", one), one, "linf"))}
        peer = peers("pgd-40", "linf").get(PEER)
        if peer is not None:
            lines[PEER] = _line(cases, peer)
        drawn.append(_panel(label, lines, number * WIDE))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {3 * WIDE} {HIGH}" '
        'font-family="sans-serif" font-size="11">\n'
        f'<rect width="{3 * WIDE}" height="{HIGH}" fill="white"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _fewer(one: Subject) -> Iterator[Subject]:
    for share in (8, 4, 2, 1):
        count = max(1, len(one.x) // share)
        yield replace(one, x=one.x[:count], y=one.y[:count])


def _sizes(one: Subject) -> Iterator[Subject]:
    x, y = one.x[:32], one.y[:32]
    for side in (16, 32, 48, 64):
        yield replace(one, x=interpolate(x, (side, side), mode="bilinear"), y=y)


def _radii(one: Subject) -> Iterator[Subject]:
    for radius in (2, 4, 8, 16):
        yield replace(one, x=one.x[:64], y=one.y[:64], eps=radius / 255)


def _line(cases: Sequence[tuple[float, Subject]], run: Callable[[Subject], Tensor]) -> Line:
    found = []
    for at, one in cases:
        start = time.process_time()
        run(one)
        found.append((float(at), time.process_time() - start))
    return found


def _panel(label: str, lines: dict[str, Line], left: float) -> str:
    xs = [x for line in lines.values() for x, _ in line]
    top = max(y for line in lines.values() for _, y in line)
    floor, right = HIGH - 44, left + WIDE - 14

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - min(xs)) / (max(xs) - min(xs))
        return left + LEFT + across * (right - left - LEFT), floor - y / top * (floor - TOP)

    parts = [
        f'<path d="M{left + LEFT} {TOP}V{floor}H{right}" fill="none" stroke="#444"/>',
        _text((left + LEFT + right) / 2, HIGH - 10, label, 'text-anchor="middle"'),
        _text(left + LEFT - 6, TOP + 4, f"{top:.3g} s", 'text-anchor="end"'),
        _text(left + LEFT - 6, floor, "0", 'text-anchor="end"'),
    ]
    parts += [
        _text(place(x, 0)[0], floor + 15, f"{x:g}", 'text-anchor="middle"') for x in sorted(set(xs))
    ]
    for number, (name, line) in enumerate(lines.items()):
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)
        colour, dash = COLOURS[name], ' stroke-dasharray="5 3"' if number else ""
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>',
            _text(left + LEFT + 8, TOP - 22 + 14 * number, name, f'fill="{colour}"'),
        ]
    return "\n".join(parts)


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{text}</text>'
