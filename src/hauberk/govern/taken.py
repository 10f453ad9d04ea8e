"""Evidence as the ledger holds it: with the time it was taken at and its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.core.digest import digest_json
from hauberk.core.errors import DataError
from hauberk.core.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.core.ports import Entry

_FIELDS = frozenset(Evidence.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One piece of evidence, ``at`` seconds since the epoch; ``entry`` is its ledger entry."""

    evidence: Evidence
    at: float
    entry: int
    digest: str

    def age(self, now: float) -> float:
        """Seconds from then to ``now``; negative where it claims to be from the future."""
        return now - self.at


def taken(entries: Iterable[Entry]) -> tuple[Taken, ...]:
    """The evidence of ledger entries, in their order; other entries are passed over.

    Raises:
        DataError: if an entry names a rule but holds no evidence.
    """
    return tuple(
        Taken(evidence=_read(entry), at=entry.at, entry=entry.index, digest=digest_json(entry.body))
        for entry in entries
        if entry.kind == "evidence" and "rule" in entry.body
    )


def newest(items: Iterable[Taken]) -> dict[str, Taken]:
    """The last evidence of each rule, by rule code."""
    return {item.evidence.rule: item for item in items}


def fresh(item: Taken, *, now: float, max_age: float | None) -> bool:
    """Whether evidence is no older than ``max_age`` seconds (None: any age) and not of the future."""
    return item.at <= now and (max_age is None or item.age(now) <= max_age)


def _read(entry: Entry) -> Evidence:
    plain: dict[str, Any] = {key: entry.body[key] for key in _FIELDS & entry.body.keys()}
    plain.setdefault("subject", entry.subject)
    plain.setdefault("message", "")
    try:
        return msgspec.convert(plain, Evidence, strict=True)
    except msgspec.ValidationError as error:
        raise DataError(f"not evidence: {error}", where=f"ledger entry {entry.index}") from None
