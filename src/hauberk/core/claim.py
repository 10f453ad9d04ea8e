"""What a rule is: a claim that a check measures, and how a value is held against its limit."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Literal

from hauberk.core.evidence import Severity, Verdict

Sense = Literal["at-least", "at-most", "true"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A claim: its code, its text, and how a value is held against the limit."""

    code: str
    title: str
    text: str
    sense: Sense = "true"
    limit: float | None = None
    severity: Severity = Severity.MEDIUM
    atlas: tuple[str, ...] = ()

    def judge(self, value: float | None, limit: float | None = None) -> Verdict:
        """Hold a value against ``limit`` (the rule's own if None); no value is ``unknown``."""
        bound = self.limit if limit is None else limit
        if value is None or isnan(value) or (self.sense != "true" and bound is None):
            return Verdict.UNKNOWN
        if self.sense == "true":
            holds = value == 1.0
        elif self.sense == "at-least":
            holds = value >= (bound or 0.0)
        else:
            holds = value <= (bound or 0.0)
        return Verdict.PASS if holds else Verdict.FAIL
