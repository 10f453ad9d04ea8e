"""What the gate decided, row by row, and its plain form for the ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from hauberk.core.digest import canonical_json, digest_json
from hauberk.core.errors import Denied
from hauberk.core.evidence import Verdict
from hauberk.core.rule import Sense  # noqa: TC001 - read at run time, when a decision is decoded

if TYPE_CHECKING:
    from hauberk.core.evidence import Evidence

_SIGNS: dict[Sense, str] = {"at-least": ">=", "at-most": "<=", "true": "is"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a decision: what was claimed, what was measured, and what follows.

    ``eps`` is the radius that the figure holds for. A row that is not ``binding`` is shown and
    decides nothing; one with a ``waiver`` neither, though its verdict stays what it is.
    """

    rule: str
    claim: str
    verdict: Verdict
    measured: float | None = None
    interval: tuple[float, float] | None = None
    limit: float | None = None
    sense: Sense = "true"
    eps: float | None = None
    binding: bool = True
    message: str = ""
    waiver: str = ""

    def __str__(self) -> str:
        measured = "not run" if self.measured is None else f"{self.measured:.4g}"
        limit = "" if self.limit is None else f" (limit {_SIGNS[self.sense]} {self.limit:g})"
        return f"{self.rule} {self.verdict}: {measured}{limit}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a policy says about one subject; ``at`` in seconds since the epoch.

    ``policy`` and ``evidence`` are digests, so that the decision can be checked from the ledger.
    """

    subject: str
    verdict: Verdict
    rows: tuple[Row, ...]
    policy: str
    evidence: tuple[str, ...]
    at: float

    @property
    def allowed(self) -> bool:
        """Whether the subject may be served."""
        return self.verdict is Verdict.PASS

    @property
    def summary(self) -> str:
        """Such as ``denied: 1 failed, 1 not run, 4 passed``."""
        counts = Counter(row.verdict for row in self.rows if row.binding and not row.waiver)
        waived = sum(bool(row.waiver) for row in self.rows)
        words = {Verdict.FAIL: "failed", Verdict.UNKNOWN: "unknown", Verdict.PASS: "passed"}
        parts = [f"{counts[verdict]} {word}" for verdict, word in words.items() if counts[verdict]]
        parts += [f"{waived} waived"] if waived else []
        return f"{'allowed' if self.allowed else 'denied'}: {', '.join(parts)}"

    @property
    def digest(self) -> str:
        """Digest of :meth:`body`."""
        return digest_json(self.body())

    def body(self) -> dict[str, Any]:
        """The decision as plain values, for the ledger and for ``--format json``."""
        return {
            "subject": self.subject,
            "verdict": str(self.verdict),
            "policy": self.policy,
            "evidence": list(self.evidence),
            "at": self.at,
            "rows": [_plain_row(row) for row in self.rows],
        }

    def raise_if_denied(self) -> None:
        """Do nothing if the subject may be served.

        Raises:
            Denied: with every row that did not pass.
        """
        if self.allowed:
            return
        held = [row for row in self.rows if row.binding and not row.waiver]
        reasons = [str(row) for row in held if row.verdict is not Verdict.PASS]
        raise Denied(
            f"{self.summary}; {'; '.join(reasons)}",
            where=self.subject[:80],
            hint="`hauberk harden` makes a better model; `hauberk rule CODE` explains a rule",
        )


def evidence_body(evidence: Evidence) -> dict[str, Any]:
    """Evidence as plain values, for the ledger; what JSON cannot hold becomes text.

    ``NaN`` and infinities become None, since they are no measurement.
    """
    return {
        "rule": evidence.rule,
        "subject": evidence.subject,
        "verdict": str(evidence.verdict),
        "message": evidence.message,
        "value": finite(evidence.value),
        "limit": finite(evidence.limit),
        "interval": None if evidence.interval is None else [finite(x) for x in evidence.interval],
        "severity": str(evidence.severity),
        "atlas": list(evidence.atlas),
        "spec": {str(key): _plain(value) for key, value in evidence.spec.items()},
    }


def finite(value: float | None) -> float | None:
    """The value, or None where it is NaN or an infinity and so measures nothing."""
    return None if value is None or not isfinite(value) else float(value)


def _plain_row(row: Row) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "claim": row.claim,
        "measured": row.measured,
        "interval": None if row.interval is None else [finite(x) for x in row.interval],
        "limit": row.limit,
        "sense": row.sense,
        "verdict": str(row.verdict),
        "eps": row.eps,
        "binding": row.binding,
        "message": row.message,
        **({"waiver": row.waiver} if row.waiver else {}),
    }


def _plain(value: Any) -> Any:
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)[:1000]
    return value
