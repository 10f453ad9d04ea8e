"""Evidence: the currency. Every stage ends in it, every decision starts from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verdict(StrEnum):
    """What a check says; ``unknown`` is never shown as clean."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """How much a failure matters, from a note to a stop."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measured claim about one subject.

    ``value`` is compared with ``limit`` by the rule; ``interval`` is its 95 % interval in the
    same unit; ``spec`` holds the conditions (seed, n, digests, parameters) that rebuild it.
    """

    rule: str
    subject: str
    verdict: Verdict
    message: str
    value: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None
    severity: Severity = Severity.MEDIUM
    atlas: tuple[str, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
