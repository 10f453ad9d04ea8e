"""What the loop knows: the phase, who answers, the open incident, and what was spent."""

import re
from typing import Literal

import msgspec

from hauberk.core.digest import digest_bytes, short
from hauberk.core.ports import Job, Routing
from hauberk.core.spec import LoopSpec

Phase = Literal[
    "serving", "contained", "hardening", "judging", "canary", "checking", "pairing", "halted"
]
KEPT_PAIRS = 8
KEPT_KEYS = 512


class Served(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Digests of the model that answers, its twin, and the calibration of the two."""

    primary: str
    twin: str | None = None
    calibration: str | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One incident, from the alarm until it is closed; times in seconds since the epoch.

    ``before`` is who answered when it was opened. ``contained`` says that the containment is in
    force, ``waiting`` that the budget holds the training back, ``since`` when the counting of
    live traffic began. ``job`` is the last job given out; ``calibration`` is the candidate's with
    the present twin.
    """

    id: str
    number: int
    opened: float
    trigger: str
    before: Served
    alarms: int = 1
    contained: bool = False
    waiting: bool = False
    confirmed_by: str = ""
    job: Job | None = None
    candidate: str | None = None
    calibration: str | None = None
    since: float = 0.0


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that :func:`hauberk.loop.machine.step` decides by, as plain JSON.

    ``served`` answers when no incident contains it, ``routing`` is the last one ordered, ``past``
    holds earlier pairs, newest last. ``trainings`` are the starts that still count. ``seen`` are
    keys of alarms and commands that were dealt with. ``last`` is the newest incident's id.
    """

    name: str
    rules: LoopSpec
    served: Served
    routing: Routing
    phase: Phase = "serving"
    incident: Incident | None = None
    incidents: int = 0
    last: str = ""
    past: tuple[Served, ...] = ()
    trainings: tuple[float, ...] = ()
    revoked: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()


def begin(service: str, rules: LoopSpec, routing: Routing) -> State:
    """The first state of a service, from the routing that its gateway has in force."""
    return State(name=_slug(service), rules=rules, served=served_by(routing), routing=routing)


def served_by(routing: Routing) -> Served:
    """Who answers by a routing, any containment and canary aside."""
    return Served(primary=routing.primary, twin=routing.twin, calibration=routing.calibration)


def incident_id(state: State, key: str) -> str:
    """A name for the next incident: its number, and a mark so that a lost journal reuses none."""
    return f"{state.name}-{state.incidents + 1}-{short(digest_bytes(key.encode()))[:6]}"


def _slug(service: str) -> str:
    """The service's name in the letters that a job's id may have; unlike names stay unlike."""
    slug = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")[:32] or "service"
    return slug if slug == service else f"{slug}-{short(digest_bytes(service.encode()))[:6]}"
