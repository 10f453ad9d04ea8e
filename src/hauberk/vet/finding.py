"""What vetting ends in: findings, an outcome and how much of the file was read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity

if TYPE_CHECKING:
    from hauberk.vet.table import Apart

GAPS = frozenset({"HB-V003", "HB-V007", "HB-V017"})  # rules that go with a partial coverage


class Outcome(StrEnum):
    """Three outcomes; what could not be judged is ``review``, never ``clean``."""

    CLEAN = "clean"
    REVIEW = "review"
    MALICIOUS = "malicious"


class Coverage(StrEnum):
    """Whether everything that a loader would act on was read."""

    FULL = "full"
    PARTIAL = "partial"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found: the rule it breaks, in words, and the place inside the file.

    ``excused`` says by whom and why it does not count, where it does not.
    """

    rule: str
    severity: Severity
    message: str
    where: str = ""
    excused: str = ""


@dataclass(frozen=True, kw_only=True)
class Vetted:
    """The result for one file: ``kind`` is what it was recognised as.

    ``traits`` say what matters only beside other files; ``apart`` and ``card`` are about the rows
    of a table.
    """

    path: str
    kind: str
    coverage: Coverage
    findings: tuple[Finding, ...] = ()
    traits: frozenset[str] = frozenset()
    apart: tuple[Apart, ...] = ()
    card: dict[str, Any] | None = None

    @property
    def outcome(self) -> Outcome:
        """Malicious on a critical finding; clean only without findings and read in full.

        What was not read may be excused by whoever answers for it, if every gap is.
        """
        severities = {one.severity for one in self.findings if not one.excused}
        if Severity.CRITICAL in severities:
            return Outcome.MALICIOUS
        if severities & {Severity.HIGH, Severity.MEDIUM}:
            return Outcome.REVIEW
        gaps = [one for one in self.findings if one.rule in GAPS]
        unread = self.coverage is Coverage.PARTIAL and not (gaps and all(g.excused for g in gaps))
        return Outcome.REVIEW if unread else Outcome.CLEAN
