"""The trade-off as one HTML page: no script, no request to anywhere, the same bytes always."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from hauberk.govern.page import environment
from hauberk.govern.trade_off import HEAD, Way, curve_chart, front, mean_text, pareto_chart, rows

if TYPE_CHECKING:
    from collections.abc import Sequence


def page(ways: Sequence[Way], *, title: str, kept: str) -> str:
    """The ways on one page; ``kept`` is the name of the one that was taken."""
    best = ", ".join(one.name for one in front(ways))
    attacks = sorted(
        {(name, eps) for one in ways for name, at in one.attacks.items() for eps in at}
    )
    return (
        environment()
        .get_template("trade_off.html.j2")
        .render(
            title=title,
            lead=f"Kept, by validation data: {kept}. On the Pareto front: {best}.",
            head=HEAD,
            rows=rows(ways),
            pareto=Markup(pareto_chart(ways).svg("pareto")),  # noqa: S704 - escaped in plot.py
            curve=Markup(curve_chart(ways).svg("curve")),  # noqa: S704 - escaped in plot.py
            attack_head=("attack", "\u03b5", *(one.name for one in ways)),
            attack_rows=[
                [name, eps, *(mean_text(one.attacks[name][eps]) for one in ways)]
                for name, eps in attacks
            ],
        )
    )
