"""What the loop wants done. Every action is idempotent: twice is the same as once."""

from typing import Any, Literal

import msgspec

from hauberk.core.evidence import Verdict
from hauberk.core.ports import EntryKind, Job, Routing
from hauberk.core.record import Route as Lane

Outcome = Literal["recovered", "recovered-old-twin", "dismissed", "rolled-back"]


class Deed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """What all actions share."""


class Contain(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put the containment into force, then say so; ``key`` names its ledger entry."""

    routing: Routing
    key: str


class Route(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put a routing into force; ``key`` names its ledger entry."""

    routing: Routing
    key: str


class Harden(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train a candidate."""

    job: Job


class Judge(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold the candidate against the gate's policy."""

    job: Job


class Pair(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train a twin for the promoted candidate."""

    job: Job


class Sign(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sign the release of a digest, on the grounds given as digests."""

    digest: str
    role: Literal["primary", "twin"]
    incident: str
    verdict: Verdict
    policy: str | None = None
    decision: str | None = None
    evidence: tuple[str, ...] = ()


class Revoke(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Never serve this digest again."""

    digest: str
    reason: str


class Page(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tell a person."""

    incident: str
    message: str


class Watch(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Count ``requests`` answers of ``digest`` on ``route``; ``agreement`` is the limit."""

    kind: Literal["canary", "check"]
    digest: str
    route: Lane
    requests: int
    agreement: float


class Note(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Enter something into the ledger, once per ``key``."""

    kind: EntryKind
    subject: str
    body: dict[str, Any]
    key: str


class Close(Deed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The incident is over; ``body`` is what the ledger keeps of it."""

    incident: str
    outcome: Outcome
    body: dict[str, Any]


Action = Contain | Route | Harden | Judge | Pair | Sign | Revoke | Page | Watch | Note | Close
