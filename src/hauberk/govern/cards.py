"""Model and data cards made from the ledger and from what their owners state.

After Mitchell et al., "Model Cards for Model Reporting" (2019), and Pushkarna et al., "Data Cards"
(2022). A field that nothing fills fails the card; the same ledger gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.core.digest import canonical_json
from hauberk.core.errors import DataError
from hauberk.govern.rows import row
from hauberk.govern.taken import newest, taken
from hauberk.govern.text import markdown_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hauberk.core.ports import Entry
    from hauberk.govern.roles import DataFacts, Governance, ModelFacts

MEASURED = ("HB-E001", "HB-E002")
_MODEL = ("name", "role", "weights", "architecture", "dataset", "origin")
_DATA = ("name", "source", "samples", "parts")


@dataclass(frozen=True, kw_only=True)
class Card:
    """Sections of fields in words, about one digest."""

    title: str
    subject: str
    sections: Mapping[str, Mapping[str, str]]

    def plain(self) -> dict[str, Any]:
        """The card as JSON values."""
        sections = {name: dict(fields) for name, fields in self.sections.items()}
        return {"title": self.title, "subject": self.subject, **sections}

    def markdown(self) -> str:
        """The card as Markdown."""
        parts = [f"# {self.title}\n\n`{self.subject}`\n"]
        for name, fields in self.sections.items():
            rows = [[key.replace("_", " "), value] for key, value in fields.items()]
            parts.append(f"## {name.capitalize()}\n\n{markdown_table(('field', 'value'), rows)}")
        return "\n".join(parts)


def model_card(digest: str, entries: Sequence[Entry], governance: Governance) -> Card:
    """The card of a model by the ledger's entries and its owner's statements.

    Raises:
        DataError: naming every field that is missing.
    """
    own = [entry for entry in entries if entry.subject == digest]
    entry = _last(own, "model")
    body = entry.body if entry else {}
    identity = {name: _words(body.get(name)) for name in _MODEL}
    identity["parent"] = _words(body.get("parent")) or "none"
    identity["registered"] = _moment(entry.at) if entry else ""
    found = newest(taken(own))
    measured = {
        code: f"{shown.measured}, limit {shown.limit}: {shown.status}"
        for code, item in sorted(found.items())
        for shown in [row(item.evidence)]
    }
    decided = next((e for e in reversed(own) if e.kind == "decision" and "rows" in e.body), None)
    verdict = {
        "verdict": _words(decided.body.get("verdict")) if decided else "",
        "policy": _words(decided.body.get("policy")) if decided else "",
        "decided": _moment(decided.at) if decided else "",
    }
    name = str(body.get("name", ""))
    sections = {
        "identity": identity,
        "measured": {**dict.fromkeys(MEASURED, ""), **measured},
        "decision": verdict,
        "stated": _facts(governance.model.get(name)) or {"intended_use": "", "owner": ""},
    }
    return _complete(Card(title=f"Model card: {name}", subject=digest, sections=sections))


def data_card(digest: str, entries: Sequence[Entry], governance: Governance) -> Card:
    """The card of a dataset by the ledger's entries and its owner's statements.

    Raises:
        DataError: naming every field that is missing.
    """
    entry = _last([one for one in entries if one.subject == digest], "dataset")
    body = entry.body if entry else {}
    recorded = {**dict.fromkeys(_DATA, ""), **{key: _words(value) for key, value in body.items()}}
    recorded.pop("envelope", None)
    recorded["recorded"] = _moment(entry.at) if entry else ""
    used = [
        one.subject for one in entries if one.kind == "model" and one.body.get("dataset") == digest
    ]
    name = str(body.get("name", ""))
    sections = {
        "recorded": recorded,
        "used": {"models": ", ".join(dict.fromkeys(used)) or "none"},
        "stated": _facts(governance.data.get(name)) or {"owner": "", "licence": ""},
    }
    return _complete(Card(title=f"Data card: {name}", subject=digest, sections=sections))


def _complete(card: Card) -> Card:
    missing = [
        f"{section}.{field}"
        for section, fields in card.sections.items()
        for field, value in fields.items()
        if not value
    ]
    if missing:
        raise DataError(
            f"the card lacks {', '.join(missing)}",
            where=card.title,
            hint="measure what is missing, or state it in governance.toml",
        )
    return card


def _last(entries: Sequence[Entry], kind: str) -> Entry | None:
    return next((one for one in reversed(entries) if one.kind == kind), None)


def _facts(facts: ModelFacts | DataFacts | None) -> dict[str, str]:
    return {} if facts is None else {k: str(v) for k, v in msgspec.structs.asdict(facts).items()}


def _words(value: Any) -> str:
    if value is None or value in ("", {}, []):
        return ""
    return value if isinstance(value, str) else canonical_json(value).decode()


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
