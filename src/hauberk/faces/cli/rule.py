"""``hauberk rule [CODE]``: what a rule code claims, and its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hauberk.core.rule import RULES, Rule, find_rule
from hauberk.faces.cli import options
from hauberk.govern.rows import limit_text

if TYPE_CHECKING:
    from hauberk.faces.cli.output import Output


@click.command()
@click.argument("code", required=False)
@options.output("table", "json", "md")
def command(*, code: str | None, output: Output) -> None:
    """Explain a rule CODE; without one, list them all."""
    if code is None:
        rows = [[r.code, r.title, _limit(r), r.severity.value] for r in RULES.values()]
        output.listing(("code", "claim", "limit", "severity"), rows)
        return
    rule = find_rule(code.upper())
    if output.form == "json":
        output.data(_plain(rule))
    else:
        output.write(page(rule) if output.form == "md" else told(rule))


def told(rule: Rule) -> str:
    """A rule as plain text."""
    lines = [f"{rule.code}  {rule.title}", "", f"  {rule.text}", "", f"  limit     {_limit(rule)}"]
    lines += [f"  severity  {rule.severity.value}"]
    lines += [f"  ATLAS     {', '.join(rule.atlas)}"] if rule.atlas else []
    return "\n".join(lines) + "\n"


def page(rule: Rule) -> str:
    """The facts of a rule as Markdown: the top of its page in the documentation."""
    facts = [f"- Limit: {_limit(rule)}", f"- Severity: {rule.severity.value}"]
    facts += [f"- MITRE ATLAS: {', '.join(rule.atlas)}"] if rule.atlas else []
    return f"# {rule.code}: {rule.title}\n\n{rule.text}\n\n" + "\n".join(facts) + "\n"


def _limit(rule: Rule) -> str:
    """The limit in words; a rule without one gets it from settings, or has none."""
    text = limit_text(rule.limit, rule.sense)
    return "none of its own" if text == "-" else text


def _plain(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "title": rule.title,
        "text": rule.text,
        "sense": rule.sense,
        "limit": rule.limit,
        "severity": rule.severity.value,
        "atlas": list(rule.atlas),
    }
