"""What happens to the loop. Each event says when, and what it is about."""

from typing import Any, Literal, Self

import msgspec

from hauberk.core.evidence import Evidence, Severity, Verdict
from hauberk.core.ports import Routing
from hauberk.govern.decision import evidence_body


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:class:`hauberk.core.evidence.Evidence` as plain JSON, for the journal and the ledger."""

    rule: str
    subject: str
    verdict: Verdict
    message: str
    value: float | None = None
    limit: float | None = None
    interval: tuple[float | None, float | None] | None = None
    severity: Severity = Severity.MEDIUM
    atlas: tuple[str, ...] = ()
    spec: dict[str, Any] = {}

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """The finding of a piece of evidence; what JSON cannot hold becomes text."""
        return msgspec.convert(evidence_body(evidence), cls)


class Happening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """What all events share: ``at``, in seconds since the epoch."""

    at: float


class Registered(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator put this routing into force, outside the loop."""

    routing: Routing


class Alarm(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evidence of an attack on ``digest``; the same ``key`` is the same alarm."""

    key: str
    digest: str
    finding: Finding


class Contained(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The containment is in force."""

    incident: str


class Hardened(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A training ended with a candidate."""

    job: str
    candidate: str


class Failed(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job ended without a result, or with one that cannot be used."""

    job: str
    reason: str


class Judged(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gate decided; ``calibration`` is that of the candidate and the present twin.

    ``policy``, ``decision`` and ``evidence`` are the digests of what was decided by.
    """

    job: str
    candidate: str
    verdict: Verdict
    policy: str
    decision: str
    calibration: str | None = None
    evidence: tuple[str, ...] = ()
    reason: str = ""


class CanaryOver(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Enough live traffic was counted on the canary."""

    candidate: str
    finding: Finding


class Checked(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Enough live traffic was counted on the promoted candidate."""

    candidate: str
    finding: Finding


class Paired(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The promoted candidate has a twin of its own."""

    job: str
    candidate: str
    twin: str
    calibration: str


class Reviewed(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person confirmed the attack, or dismissed the alarm as false."""

    incident: str
    verdict: Literal["confirm", "dismiss"]
    reviewer: str


class Rollback(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator wants the last good model back; the same ``key`` is the same command."""

    by: str
    reason: str
    key: str = ""


class Refused(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port refused an action for good: unsigned, altered, revoked, or a broken ledger."""

    action: str
    reason: str


class Tick(Happening, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time went by."""


Event = (
    Registered
    | Alarm
    | Contained
    | Hardened
    | Failed
    | Judged
    | CanaryOver
    | Checked
    | Paired
    | Reviewed
    | Rollback
    | Refused
    | Tick
)
