"""Evidence as the ledger holds it: with the time it was taken at and its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.core.digest import digest_json
from hauberk.core.errors import DataError
from hauberk.core.evidence import Evidence, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.core.ports import Entry

# An alarm shows that these watch; whether it was answered is HB-L001's to say.
WATCHES = frozenset({"HB-D001", "HB-D002"})


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry's body holds of evidence; other keys are passed over."""

    rule: str
    verdict: Verdict
    subject: str = ""
    message: str = ""
    value: float | None = None
    limit: float | None = None
    interval: tuple[float | None, float | None] | None = None
    severity: Severity = Severity.MEDIUM
    atlas: tuple[str, ...] = ()
    spec: dict[str, Any] = {}


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
    """The last evidence of each rule, by rule code.

    Of accuracies at several radii only that at the threat's own counts (``eps_factor`` 1).
    """
    return {
        item.evidence.rule: item
        for item in items
        if item.evidence.spec.get("eps_factor", 1.0) == 1.0
    }


def fresh(item: Taken, *, now: float, max_age: float | None) -> bool:
    """Whether evidence is at most ``max_age`` seconds old (None: any age), not of the future."""
    return item.at <= now and (max_age is None or item.age(now) <= max_age)


def supports(item: Taken) -> Verdict:
    """What evidence says of its control: for a watch, that it ran, not what it saw."""
    said = item.evidence.verdict
    if item.evidence.rule in WATCHES and said is Verdict.FAIL:
        return Verdict.PASS
    return said


def _read(entry: Entry) -> Evidence:
    try:
        kept = msgspec.convert(entry.body, _Kept, strict=True)
    except msgspec.ValidationError as error:
        raise DataError(f"not evidence: {error}", where=f"ledger entry {entry.index}") from None
    low, high = kept.interval or (None, None)
    return Evidence(
        rule=kept.rule,
        subject=kept.subject or entry.subject,
        verdict=kept.verdict,
        message=kept.message,
        value=kept.value,
        limit=kept.limit,
        interval=None if low is None or high is None else (low, high),
        severity=kept.severity,
        atlas=kept.atlas,
        spec=kept.spec,
    )
