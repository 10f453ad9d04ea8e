"""An assessment as rows, JSON, HTML, OSCAL assessment results and an ATLAS Navigator layer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from hauberk.core.digest import short
from hauberk.core.rule import RULES
from hauberk.govern.compliance import PHRASE
from hauberk.govern.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.govern.compliance import Assessment, Clause, Status, Support

HEAD = ("clause", "in our words", "status", "evidence")
OSCAL = "1.1.2"
_COLOURS: dict[Status, str] = {"met": "#8ec843", "not met": "#ff6666", "not evidenced": "#d3d3d3"}
_STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.45 system-ui,sans-serif;margin:2rem auto;"
    "max-width:70rem;padding:0 1rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;"
    "border-bottom:1px solid #8886}.met{color:#1a7f37}.not-met{color:#b42318}"
    ".not-evidenced{color:#6b7280}code{font-size:.85em}"
)


def cells(one: Clause) -> list[str]:
    """The cells of a row, in the order of ``HEAD``."""
    told = [_told(item) for item in one.support] + ([one.note] if one.note else [])
    return [one.id, one.words, one.status, "; ".join(told)]


def plain(found: Assessment) -> dict[str, Any]:
    """The assessment as JSON values."""
    return {
        "framework": found.framework,
        "title": found.title,
        "edition": found.edition,
        "as_of": _moment(found.at),
        "claim": f"this report {PHRASE} the clauses named; it does not say that they are complied "
        "with",
        "summary": found.summary,
        "clauses": [msgspec.to_builtins(one) for one in found.clauses],
    }


def page(found: Assessment) -> str:
    """The assessment as one HTML page, without a script or a request."""
    title = escape(f"Evidence for {found.title} ({found.edition})")
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    rows = "".join(_row(one) for one in found.clauses)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'unsafe-inline'\"><title>{title}</title><style>{_STYLE}</style>\n"
        f"<h1>{title}</h1><p>As of {_moment(found.at)}: {found.summary}. This report {PHRASE} the "
        "clauses named, in our own words; it does not say that they are complied with. The text "
        f'itself: <a href="{escape(found.link)}">{escape(found.link)}</a></p>\n'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></html>\n"
    )


def oscal(found: Assessment) -> dict[str, Any]:
    """The assessment in the shape of OSCAL assessment results (NIST, 1.1.2).

    What has no evidence is ``not-satisfied`` with the reason ``other``, since OSCAL has no third
    state.
    """
    when = _moment(found.at)
    ident = f"{found.framework}:{when}"
    items = {s.digest: s for one in found.clauses for s in one.support if s.digest}
    observed = [_observation(item) for item in items.values()]  # the form allows no empty list
    return {
        "assessment-results": {
            "uuid": _uuid(ident),
            "metadata": {
                "title": f"Evidence for {found.title} ({found.edition})",
                "last-modified": when,
                "version": when[:10],
                "oscal-version": OSCAL,
                "remarks": f"This report {PHRASE} the clauses named.",
            },
            "import-ap": {"href": found.link},
            "results": [
                {
                    "uuid": _uuid(f"{ident}:result"),
                    "title": found.title,
                    "description": found.summary,
                    "start": when,
                    "reviewed-controls": {
                        "control-selections": [
                            {
                                "include-controls": [
                                    {"control-id": _token(one.id)} for one in found.clauses
                                ]
                            }
                        ]
                    },
                    **({"observations": observed} if observed else {}),
                    "findings": [_finding(one, ident) for one in found.clauses],
                }
            ],
        }
    }


def navigator(found: Assessment) -> dict[str, Any]:
    """A layer for the ATLAS Navigator: each technique coloured by its status."""
    return {
        "name": f"Evidence as of {_moment(found.at)[:10]}",
        "versions": {"layer": "4.5", "navigator": "5.3.2"},
        "domain": "atlas-atlas",
        "description": f"{found.title} {found.edition}: {found.summary}",
        "techniques": [
            {
                "techniqueID": one.id,
                "color": _COLOURS[one.status],
                "comment": f"{one.status}: {cells(one)[-1]}",
                "enabled": True,
                "showSubtechniques": True,
            }
            for one in found.clauses
        ],
        "legendItems": [{"label": name, "color": code} for name, code in _COLOURS.items()],
    }


def _observation(item: Support) -> dict[str, Any]:
    title = RULES[item.rule].title if item.rule in RULES else item.rule
    return {
        "uuid": _uuid(f"observation:{item.digest}"),
        "description": f"{item.rule} {title}: {item.says}",
        "methods": ["TEST"],
        "collected": _moment(item.at or 0.0),
        "relevant-evidence": [{"description": f"ledger evidence {item.digest}"}],
    }


def _finding(one: Clause, ident: str) -> dict[str, Any]:
    state: dict[str, str] = {"state": "satisfied" if one.status == "met" else "not-satisfied"}
    if one.status != "met":
        state["reason"] = "fail" if one.status == "not met" else "other"
        state["remarks"] = one.status
    related = [
        {"observation-uuid": _uuid(f"observation:{s.digest}")} for s in one.support if s.digest
    ]
    return {
        "uuid": _uuid(f"{ident}:{one.id}"),
        "title": one.id,
        "description": one.words,
        "target": {"type": "objective-id", "target-id": _token(one.id), "status": state},
        **({"related-observations": related} if related else {}),
    }


def _row(one: Clause) -> str:
    shown = [escape(one_line(cell)) for cell in cells(one)]
    shown[2] = f'<b class="{one.status.replace(" ", "-")}">{shown[2]}</b>'
    shown[3] = "<br>".join(_marked(one))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>\n"


def _marked(one: Clause) -> Iterator[str]:
    for item in one.support:
        yield f"<code>{escape(_told(item))}</code>"
    if one.note:
        yield escape(one.note)


def _told(item: Support) -> str:
    return f"{item.rule} {item.says}" + (f" [{short(item.digest)}]" if item.digest else "")


def _token(text: str) -> str:
    """The id as OSCAL's tokens allow it: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-").lower()


def _uuid(text: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"https://hauberk.dev/oscal/{text}"))


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
