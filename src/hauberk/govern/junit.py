"""Evidence as JUnit XML, which every CI system shows as a list of tests."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hauberk.govern.rows import row
from hauberk.govern.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.evidence import Evidence


def junit(evidence: Sequence[Evidence]) -> str:
    """One test case for each piece of evidence.

    What was not run or stayed unknown is an error, not a skipped case, since CI shows skipped
    cases as green; only what a person waived is skipped. No evidence at all is an error too.
    """
    cases = [_case(one) for one in evidence] or [
        '  <testcase classname="hauberk" name="evidence"><error message="nothing was checked"/>'
        "</testcase>"
    ]
    states = [row(one).status for one in evidence]
    failures = states.count("FAIL")
    errors = states.count("NOT RUN") + states.count("UNKNOWN") + (not evidence)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="hauberk" tests="{len(cases)}" failures="{failures}" errors="{errors}">\n'
        + "\n".join(cases)
        + "\n</testsuite>\n"
    )


def _case(evidence: Evidence) -> str:
    shown = row(evidence)
    name = _quoted(one_line(f"{shown.rule} {shown.claim}"))
    place = _quoted(one_line(evidence.subject))
    text = one_line(f"{shown.measured}, limit {shown.limit}. {evidence.message}")
    start = f"  <testcase classname={place} name={name}>"
    if shown.status == "waived":
        waiver = _quoted(one_line(str(evidence.spec["waiver"])))
        return f"{start}<skipped message={waiver}/></testcase>"
    if not shown.finding:
        return f"{start}<system-out>{escape(text, quote=False)}</system-out></testcase>"
    kind = "failure" if shown.status == "FAIL" else "error"
    return f"{start}<{kind} message={_quoted(f'{shown.status}: {text}')}/></testcase>"


def _quoted(text: str) -> str:
    """A text as the value of an attribute, with its quotes."""
    return f'"{escape(text)}"'
