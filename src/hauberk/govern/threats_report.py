"""The threats to a system as rows, as plain data and as one HTML page."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

from hauberk.govern.stride import LETTERS
from hauberk.govern.text import one_line
from hauberk.govern.threats_diagram import diagram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.govern.threats import System
    from hauberk.govern.threats_state import Standing

HEAD = ("threat", "stage", "risk", "state", "left", "techniques", "why")
_STATES = {"VERIFIED": "pass", "ACCEPTED": "unknown", "MITIGATED": "unknown", "OPEN": "fail"}
_STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.45 system-ui,sans-serif;margin:2rem auto;"
    "max-width:76rem;padding:0 1rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;"
    "border-bottom:1px solid #8886}svg{width:100%;"
    "height:auto}.pass{color:#1a7f37}.fail{color:#b42318}.unknown{color:#6b7280}"
    "td small{color:#6b7280}"
)


def cells(one: Standing) -> list[str]:
    """The cells of a row, in the order of ``HEAD``; a claim is called a claim."""
    threat = one.threat
    return [
        f"{threat.id}: {threat.title}",
        threat.stage,
        str(threat.rating),
        "MITIGATED (claimed)" if one.state == "MITIGATED" else one.state,
        str(one.residual),
        ", ".join(threat.techniques),
        one.why,
    ]


def summary(standings: Sequence[Standing]) -> str:
    """A count of every state: ``26 OPEN, 1 MITIGATED (claimed), 1 VERIFIED``."""
    counts = Counter(str(one.state) for one in standings)
    names = {"MITIGATED": "MITIGATED (claimed)"}
    parts = [f"{counts[s]} {names.get(s, s)}" for s in _STATES if counts[s]]
    return ", ".join(parts) or "no threats were found, so the system is not described"


def plain(system: System, standings: Sequence[Standing]) -> dict[str, Any]:
    """The risk register as JSON values."""
    return {
        "system": system.system.name,
        "owner": system.system.owner,
        "summary": dict(sorted(Counter(one.state for one in standings).items())),
        "stride": {
            letter: sum(one.threat.letter == letter for one in standings) for letter in LETTERS
        },
        "threats": [
            {
                "id": one.threat.id,
                "stride": LETTERS[one.threat.letter],
                "element": one.threat.element,
                "stage": one.threat.stage,
                "title": one.threat.title,
                "attackers": list(one.threat.attackers),
                "techniques": list(one.threat.techniques),
                "catalogue": one.threat.catalogue,
                "controls": list(one.threat.controls),
                "risk": {"level": one.threat.rating.level, "score": one.threat.rating.score},
                "residual": {"level": one.residual.level, "score": one.residual.score},
                "state": one.state,
                "finding": one.finding,
                "why": one.why,
                "evidence": list(one.evidence),
            }
            for one in standings
        ],
    }


def page(system: System, standings: Sequence[Standing]) -> str:
    """The risk register with its diagram as one HTML page, without a script or a request."""
    counts = Counter(one.threat.element for one in standings if one.finding)
    rows = "".join(_row(one) for one in standings)
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    title = escape(one_line(f"Threats to {system.system.name}"))
    catalogue = escape(standings[0].threat.catalogue) if standings else ""
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'unsafe-inline'\"><title>{title}</title><style>{_STYLE}</style>\n"
        f"<h1>{title}</h1><p>{escape(summary(standings))}. Owner: {escape(system.system.owner)}. "
        f"Techniques by {catalogue}.</p>\n{diagram(system, counts)}"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></html>\n"
    )


def _row(one: Standing) -> str:
    shown = [escape(one_line(cell)) for cell in cells(one)]
    shown[3] = f'<b class="{_STATES[one.state]}">{shown[3]}</b>'
    shown[-1] = f"<small>{shown[-1]}</small>"
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>\n"
