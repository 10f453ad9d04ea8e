"""The report as a table for a terminal, and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.govern.story import ATTACK_HEAD, attack_cells, clock, figures, headline, moment
from hauberk.govern.text import columns, markdown_table, markdown_text, one_line

if TYPE_CHECKING:
    from hauberk.govern.report import LoopReport

_DECISION_HEAD = ("rule", "claim", "measured", "limit", "verdict")


def table(report: LoopReport) -> str:
    """Headline, the table of attacks, the figures, the decision and the digests."""
    lines = [f"  {one_line(report.title)}", "", f"  {one_line(headline(report))}", ""]
    lines += columns([_upper(ATTACK_HEAD), *map(attack_cells, report.rows)])
    if not report.rows:
        lines.append("  no attack was run")
    lines += ["", *columns(figures(report))]
    if report.decision:
        lines += ["", f"  gate: {one_line(report.verdict)}"]
        lines += columns([_upper(_DECISION_HEAD), *_decision(report)])
    if report.provenance:
        lines += ["", *columns(list(report.provenance.items()))]
    return "\n".join(lines) + "\n"


def markdown(report: LoopReport) -> str:
    """The whole report but for its pictures."""
    parts = [f"# {markdown_text(report.title)}\n\n{markdown_text(headline(report))}\n"]
    parts.append(
        "## Accuracy\n\n" + markdown_table(ATTACK_HEAD, list(map(attack_cells, report.rows)))
    )
    parts.append("## Figures\n\n" + markdown_table(("figure", "value"), figures(report)))
    if report.decision:
        shown = markdown_table(_DECISION_HEAD, _decision(report))
        parts.append(f"## Decision: {markdown_text(report.verdict)}\n\n{shown}")
    if report.turns:
        turns = [(clock(t.at), t.phase, t.event, "; ".join(t.actions)) for t in report.turns]
        parts.append("## Turns\n\n" + markdown_table(("at", "phase", "event", "actions"), turns))
    for name, facts in (("Conditions", report.conditions), ("Provenance", report.provenance)):
        if facts:
            parts.append(f"## {name}\n\n" + markdown_table(("what", "value"), list(facts.items())))
    parts.append(f"Generated {moment(report.generated_at)}.\n")
    return "\n".join(parts)


def _upper(head: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.upper() if name != "ε" else "EPS" for name in head)


def _decision(report: LoopReport) -> list[tuple[str, str, str, str, str]]:
    return [(row.rule, row.claim, row.measured, row.limit, row.verdict) for row in report.decision]
