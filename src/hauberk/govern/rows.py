"""Evidence in words: one row for each claim, and how a row that proves nothing is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.core.rule import Sense
    from hauberk.govern.decision import Decision

Status = Literal["pass", "FAIL", "NOT RUN", "UNKNOWN", "no limit", "waived"]
HEAD = ("RULE", "CLAIM", "MEASURED", "LIMIT", "")
_ORDER: tuple[tuple[Status, str], ...] = (
    ("FAIL", "failed"),
    ("NOT RUN", "not run"),
    ("UNKNOWN", "unknown"),
    ("no limit", "without a limit"),
    ("waived", "waived"),
    ("pass", "passed"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One claim as people read it."""

    rule: str
    claim: str
    measured: str
    limit: str
    status: Status

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """The cells in the order of ``HEAD``."""
        return self.rule, self.claim, self.measured, self.limit, self.status

    @property
    def finding(self) -> bool:
        """Whether the row keeps the whole from being clean."""
        return self.status not in {"pass", "no limit", "waived"}


def status(evidence: Evidence) -> Status:
    """What a verdict is called.

    Unknown is ``NOT RUN`` where nothing was measured, and ``no limit`` where a figure was asked
    for its own sake; it is never a pass. What a person lets go until a day is ``waived``.
    """
    if evidence.verdict is Verdict.PASS:
        return "pass"
    if evidence.spec.get("waiver"):
        return "waived"
    if evidence.verdict is Verdict.FAIL:
        return "FAIL"
    if evidence.value is None:
        return "NOT RUN"
    free = evidence.limit is None and _sense(evidence.rule) != "true" and isfinite(evidence.value)
    return "no limit" if free else "UNKNOWN"


def row(evidence: Evidence) -> Row:
    """The row of one piece of evidence."""
    sense = _sense(evidence.rule)
    return Row(
        rule=evidence.rule,
        claim=_claim(evidence),
        measured=_measured(evidence, sense),
        limit=limit_text(evidence.limit, sense),
        status=status(evidence),
    )


def of_decision(decision: Decision) -> tuple[Evidence, ...]:
    """A decision's rows as evidence, with the policy's limits and verdicts.

    A row that does not bind keeps its figure and loses its limit.
    """
    return tuple(
        Evidence(
            rule=one.rule,
            subject=decision.subject,
            verdict=one.verdict if one.binding else Verdict.UNKNOWN,
            message="; ".join(filter(None, (one.message, one.waiver))),
            value=one.measured,
            limit=one.limit if one.binding else None,
            interval=one.interval,
            severity=RULES[one.rule].severity,
            atlas=RULES[one.rule].atlas,
            spec={
                **({} if one.eps is None else {"eps": one.eps}),
                **({"waiver": one.waiver} if one.waiver else {}),
            },
        )
        for one in decision.rows
        if one.binding or one.measured is not None
    )


def findings(evidence: Iterable[Evidence]) -> int:
    """How many pieces of evidence keep the whole from being clean."""
    return sum(row(one).finding for one in evidence)


def summary(evidence: Iterable[Evidence]) -> str:
    """A count of every status: ``1 failed, 1 not run, 3 passed``."""
    counts = Counter(status(one) for one in evidence)
    parts = [f"{counts[name]} {word}" for name, word in _ORDER if counts[name]]
    return ", ".join(parts) or "nothing was checked"


def number(value: float, *, beside: float | None = None) -> str:
    """Three significant digits, or as many as tell the value from the one ``beside`` it."""
    for digits in range(3, 17):
        text = f"{value:.{digits}g}"
        if beside is None or value == beside or float(text) != float(f"{beside:.{digits}g}"):
            return text
    return repr(value)


def limit_text(limit: float | None, sense: Sense) -> str:
    """A limit in words: ``>= 0.4``; ``yes`` for a claim that holds or does not."""
    if sense == "true":
        return "yes"
    if limit is None:
        return "-"
    return f"{'>=' if sense == 'at-least' else '<='} {number(limit)}"


def _sense(code: str) -> Sense:
    return RULES[code].sense if code in RULES else "true"


def _claim(evidence: Evidence) -> str:
    title = RULES[evidence.rule].title if evidence.rule in RULES else evidence.message
    attack, eps = evidence.spec.get("attack"), evidence.spec.get("eps")
    part = evidence.spec.get("part")
    told = [part] if isinstance(part, str) else []
    told += [str(attack)] if isinstance(attack, str) else []
    told += [f"eps {number(eps)}"] if isinstance(eps, int | float) else []
    return f"{title} ({', '.join(told)})" if told else title


def _measured(evidence: Evidence, sense: Sense) -> str:
    if evidence.value is None:
        plain = {Verdict.PASS: "yes", Verdict.FAIL: "no"} if sense == "true" else {}
        return plain.get(evidence.verdict, "-")
    if sense == "true" and evidence.value in {0.0, 1.0}:
        return "yes" if evidence.value else "no"
    text = number(evidence.value, beside=evidence.limit)
    if evidence.interval is None:
        return text
    low, high = evidence.interval
    return f"{text} [{number(low)}, {number(high)}]"
