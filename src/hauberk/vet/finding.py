"""What vetting ends in: findings, an outcome and how much of the file was read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hauberk.core.evidence import Severity


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
    """One thing found: the rule it breaks, in words, and the place inside the file."""

    rule: str
    severity: Severity
    message: str
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Vetted:
    """The result for one file: ``kind`` is what it was recognised as.

    ``traits`` say what matters only beside other files.
    """

    path: str
    kind: str
    coverage: Coverage
    findings: tuple[Finding, ...] = ()
    traits: frozenset[str] = frozenset()

    @property
    def outcome(self) -> Outcome:
        """Malicious on a critical finding; clean only without findings and read in full."""
        severities = {one.severity for one in self.findings}
        if Severity.CRITICAL in severities:
            return Outcome.MALICIOUS
        if severities & {Severity.HIGH, Severity.MEDIUM} or self.coverage is Coverage.PARTIAL:
            return Outcome.REVIEW
        return Outcome.CLEAN
