"""Evidence as a table, JSON, Markdown, HTML, SARIF or JUnit; all of them pure text."""

from __future__ import annotations

import json
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.govern.rows import HEAD, row, summary
from hauberk.govern.text import columns, markdown_table, markdown_text, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.evidence import Evidence
    from hauberk.govern.format_names import Format


def render(evidence: Sequence[Evidence], form: Format, *, heading: str = "") -> str:
    """The evidence in one of the formats, ending in a newline."""
    if form == "json":
        return as_json([plain(one) for one in evidence])
    if form == "md":
        title = f"## {markdown_text(heading)}\n\n" if heading else ""
        return f"{title}{_markdown(evidence)}\n{summary(evidence)}\n"
    if form == "html":
        return _html(evidence, heading)
    if form == "sarif":
        from hauberk.govern.sarif import sarif  # noqa: PLC0415 - few need it, and it takes time

        return as_json(sarif(evidence))
    if form == "junit":
        from hauberk.govern.junit import junit  # noqa: PLC0415 - few need it

        return junit(evidence)
    return table(evidence, heading=heading)


def table(evidence: Sequence[Evidence], *, heading: str = "") -> str:
    """Aligned columns: rule, claim, measured, limit and status."""
    body = columns([HEAD, *(row(one).cells for one in evidence)])
    head = [f"  {one_line(heading)}", ""] if heading else []
    return "\n".join([*head, *body]) + "\n"


def plain(evidence: Evidence) -> dict[str, Any]:
    """Evidence as JSON values; a figure that is not finite becomes null."""
    tree: dict[str, Any] = _finite(msgspec.to_builtins(evidence, enc_hook=str))
    return tree


def as_json(value: Any) -> str:
    """Indented JSON text with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _markdown(evidence: Sequence[Evidence]) -> str:
    head = ("Rule", "Claim", "Measured", "Limit", "Verdict")
    return markdown_table(head, [row(one).cells for one in evidence])


def _html(evidence: Sequence[Evidence], heading: str) -> str:
    title = escape(one_line(heading) or "Evidence")
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(one_line(cell))}</td>" for cell in row(one).cells) + "</tr>"
        for one in evidence
    )
    head = "".join(f"<th>{name.title()}</th>" for name in (*HEAD[:-1], "Verdict"))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>:root{{color-scheme:light dark}}"
        "body{font:1rem system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}"
        "th,td{text-align:left;padding:.4rem 1rem .4rem 0;border-bottom:1px solid #8886}</style>"
        f"<h1>{title}</h1><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{escape(summary(evidence))}</p></html>\n"
    )
