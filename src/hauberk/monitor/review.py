"""ReviewTest: labels from people confirm an incident, or dismiss it, by betting on the errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import exp, log
from typing import TYPE_CHECKING, Literal

import numpy as np

from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.interval import wilson
from hauberk.core.rule import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

Stratum = Literal["random", "suspect"]
Outcome = Literal["open", "confirmed", "dismissed"]

# (error share, weight): what an attack may make of the answers; most weight where it matters.
_ATTACKED = ((0.1, 0.1), (0.15, 0.15), (0.2, 0.3), (0.3, 0.2), (0.5, 0.15), (0.9, 0.1))
_BEST_AGREEMENT = 0.999


@dataclass(frozen=True, kw_only=True)
class Label:
    """What one reviewer says of one request; ``served`` is what the model answered."""

    case: str
    reviewer: str
    label: int
    served: int
    stratum: Stratum = "random"


@dataclass(kw_only=True, eq=False)
class ReviewTest:
    """A betting test on labelled errors: evidence ``HB-D013``.

    ``base_error`` bounds the share of wrong answers when nothing is amiss, apart for requests
    drawn at random and for the most suspect ones, of which more are wrong even then. Under these
    shares the wealth of a bettor who expects more is a martingale, so it reaches ``evidence`` with
    a probability of 1/``evidence`` at most, whenever one stops. The other way round a bettor who
    expects no more than the base wins where an attack that makes a ``harm`` of the random answers
    wrong is ruled out; at the evidence ``dismissal`` the alarm is dismissed.

    With ``second`` an answer only counts as wrong once another reviewer gives the same label to
    the request; until then the case is open. So one person who lies cannot confirm alone.

    Raises:
        UserError: if a number is out of range.
    """

    base_error: Mapping[Stratum, float] = field(
        default_factory=lambda: {"random": 0.03, "suspect": 0.25}
    )
    evidence: float = 1e4
    dismissal: float = 1e2
    harm: float = 0.15
    second: bool = True

    def __post_init__(self) -> None:
        if not all(0.0 < share < 0.9 for share in self.base_error.values()):
            raise UserError("base errors must lie in (0, 0.9)")
        if self.evidence <= 1 or self.dismissal <= 1 or not 0.0 < self.harm < 1.0:
            raise UserError("evidence must be above 1 and harm within (0, 1)")
        self._labels: dict[str, list[Label]] = {}
        self._settled: dict[str, bool] = {}
        self._nats = np.log([weight for _, weight in _ATTACKED])
        self._safe = 0.0

    def take(self, label: Label) -> bool:
        """Take one label; whether its case is settled now. A reviewer counts once for a case.

        Raises:
            UserError: if the stratum has no base error.
        """
        if label.stratum not in self.base_error:
            raise UserError(f"no base error for {label.stratum!r} requests")
        given = self._labels.setdefault(label.case, [])
        if label.case in self._settled or any(g.reviewer == label.reviewer for g in given):
            given.append(label)  # for the agreement of reviewers
            return False
        given.append(label)
        wrong = self._judged(given)
        if wrong is None:
            return False
        self._settled[label.case] = wrong
        self._bet(label.stratum, wrong=wrong)
        return True

    def _judged(self, given: list[Label]) -> bool | None:
        """Wrong, right, or not settled: right at the first such label, wrong with a second."""
        if any(one.label == one.served for one in given):
            # One of several says that it is right: a doubtful case never counts as an error.
            return False
        if not self.second:
            return True
        most = Counter(one.label for one in given).most_common(1)[0][1]
        return True if most >= 2 else None

    def _bet(self, stratum: Stratum, *, wrong: bool) -> None:
        base = self.base_error[stratum]
        # Suspect requests are wrong more often under attack too: shift the alternatives alike.
        shares = np.array([base + (1 - base) * share for share, _ in _ATTACKED])
        ratio = shares / base if wrong else (1 - shares) / (1 - base)
        self._nats = self._nats + np.log(ratio)
        if stratum == "random":
            harm = max(self.harm, base)
            self._safe += log(base / harm) if wrong else log((1 - base) / (1 - harm))

    @property
    def labels(self) -> int:
        """How many labels were taken."""
        return sum(len(given) for given in self._labels.values())

    @property
    def settled(self) -> tuple[int, int]:
        """How many cases are settled, and how many of them as wrong."""
        return len(self._settled), sum(self._settled.values())

    @property
    def waiting(self) -> tuple[str, ...]:
        """Cases that one reviewer called wrong and that need a second one."""
        return tuple(case for case in self._labels if case not in self._settled)

    def nats(self) -> float:
        """Evidence of the attack, in nats."""
        return float(np.logaddexp.reduce(self._nats))

    def outcome(self) -> Outcome:
        """Confirmed, dismissed, or open."""
        if self.nats() >= log(self.evidence):
            return "confirmed"
        return "dismissed" if self._safe >= log(self.dismissal) else "open"

    def verdict(self, subject: str, *, at: float) -> Evidence:
        """The state of the test as evidence HB-D013: fail once it is confirmed."""
        rule, (settled, wrong), outcome = RULES["HB-D013"], self.settled, self.outcome()
        verdicts = {"confirmed": Verdict.FAIL, "dismissed": Verdict.PASS, "open": Verdict.UNKNOWN}
        return Evidence(
            rule=rule.code,
            subject=subject,
            verdict=verdicts[outcome],
            severity=rule.severity,
            atlas=rule.atlas,
            value=self.nats(),
            limit=log(self.evidence),
            message=f"{outcome}: {wrong} of {settled} reviewed answers are wrong "
            f"(evidence {exp(min(self.nats(), 600)):.3g}, limit {self.evidence:g}; "
            f"{len(self.waiting)} cases wait for a second reviewer)",
            spec={
                "labels": self.labels,
                "settled": settled,
                "wrong": wrong,
                "interval": list(wilson(wrong, settled)),
                "reviewers": sorted({g.reviewer for one in self._labels.values() for g in one}),
                "base_error": dict(self.base_error),
                "at": at,
            },
        )

    def agreement(self) -> float | None:
        """Cohen's kappa over the pairs of labels that two reviewers gave to one case.

        None where no case has two, or all labels are the same.
        """
        pairs = [(a, b) for given in self._labels.values() for a, b in _pairs(given)]
        if not pairs:
            return None
        same = sum(a == b for a, b in pairs) / len(pairs)
        size = 1 + max(max(pair) for pair in pairs)
        one, two = (_shares((pair[side] for pair in pairs), size) for side in (0, 1))
        chance = float(one @ two)
        return None if chance > _BEST_AGREEMENT else (same - chance) / (1 - chance)


def _pairs(given: list[Label]) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    for one in given:
        first.setdefault(one.reviewer, one.label)
    labels = [first[name] for name in sorted(first)]
    return [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]


def _shares(labels: Iterable[int], size: int) -> NDArray[np.float64]:
    out = np.zeros(size)
    for label, count in Counter(labels).items():
        out[label] = count
    out /= max(out.sum(), 1.0)
    return out
