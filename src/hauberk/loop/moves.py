"""The moves that several transitions share: route, halt, close, revoke."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from hauberk.core.digest import short
from hauberk.core.evidence import Verdict
from hauberk.core.ports import Routing
from hauberk.core.rule import RULES
from hauberk.loop.actions import Action, Close, Note, Outcome, Page, Revoke, Route
from hauberk.loop.events import Finding
from hauberk.loop.state import KEPT_KEYS, KEPT_PAIRS, Incident, Phase, Served, State

Result = tuple[State, tuple[Action, ...]]
_VERDICTS: dict[Outcome, Verdict] = {
    "recovered": Verdict.PASS,
    "recovered-old-twin": Verdict.PASS,
    "dismissed": Verdict.UNKNOWN,
    "rolled-back": Verdict.FAIL,
}


def normal(served: Served, incident: str | None = None) -> Routing:
    """The primary answers."""
    return Routing(
        primary=served.primary,
        twin=served.twin,
        calibration=served.calibration,
        incident=incident,
    )


def contained(state: State, served: Served, incident: str) -> Routing:
    """The twin answers, or suspects get an abstention where the rules or the lack of one say so."""
    by_twin = state.rules.contain == "twin" and served.twin is not None
    return replace(normal(served, incident), mode="contained" if by_twin else "abstain")


def routed(state: State, routing: Routing, why: str, *, scope: str = "") -> tuple[State, Route]:
    """Order a routing; ``why`` is unlike any other within the ``scope``, the incident if empty."""
    scope = scope or (state.incident.id if state.incident else state.last or state.name)
    return replace(state, routing=routing), Route(routing=routing, key=f"{scope}:deployment:{why}")


def halt(state: State, incident: Incident, reason: str) -> Result:
    """Stop where we are, tell people, and keep the incident open for them."""
    note = Note(
        kind="incident",
        subject=incident.id,
        body={"state": "halted", "phase": state.phase, "reason": reason},
        key=f"{incident.id}:incident:halted",
    )
    page = Page(incident=incident.id, message=f"the loop halted while {state.phase}: {reason}")
    return replace(state, phase="halted", incident=replace(incident, waiting=False)), (page, note)


def back(state: State, incident: Incident, reason: str, *, revoke: bool) -> Result:
    """Take the candidate out of service, keep the containment of who answered before, and halt."""
    state = replace(state, served=incident.before)
    state, route = routed(state, contained(state, incident.before, incident.id), "back")
    state, actions = halt(state, incident, reason)
    if revoke and incident.candidate:
        state, revocation = revoked(state, incident.candidate, reason)
        return state, (route, revocation, *actions)
    return state, (route, *actions)


def revoked(state: State, digest: str, reason: str) -> tuple[State, Revoke]:
    """Bar a digest from every later routing."""
    barred = tuple(sorted({*state.revoked, digest}))
    return replace(state, revoked=barred), Revoke(digest=digest, reason=reason)


def close(state: State, incident: Incident, outcome: Outcome, served: Served, at: float) -> Result:
    """Return to normal service with ``served`` and close the incident."""
    past = state.past
    if served.primary != incident.before.primary:
        past = (*past, incident.before)[-KEPT_PAIRS:]
    state = replace(state, phase="serving", served=served, past=past, incident=None)
    state, route = routed(state, normal(served), outcome, scope=incident.id)
    body = {
        "state": "closed",
        "outcome": outcome,
        "opened": incident.opened,
        "closed": at,
        "alarms": incident.alarms,
        "confirmed_by": incident.confirmed_by,
        "before": incident.before.primary,
        "after": served.primary,
    }
    finding = Finding(
        rule="HB-L001",
        subject=incident.id,
        verdict=_VERDICTS[outcome],
        message=f"closed as {outcome} after {at - incident.opened:.0f} s, "
        f"{name(served.primary)} in service",
        severity=RULES["HB-L001"].severity,
    )
    closing = Close(incident=incident.id, outcome=outcome, body=body)
    return state, (route, closing, evidence(incident, finding, "closed"))


def usable(served: Served, state: State) -> Served | None:
    """A pair without what was revoked since; None where that is its primary."""
    if served.primary in state.revoked:
        return None
    return Served(primary=served.primary) if served.twin in state.revoked else served


def known(state: State) -> frozenset[str]:
    """Every digest that a routing may still come back to."""
    pairs = (state.served, *state.past, *((state.incident.before,) if state.incident else ()))
    return frozenset(d for pair in pairs for d in (pair.primary, pair.twin) if d)


def seen(state: State, key: str) -> State:
    """Remember that an alarm or a command was dealt with."""
    return replace(state, seen=(*state.seen, key)[-KEPT_KEYS:])


def at_work(state: State, phase: Phase, job: str) -> Incident | None:
    """The incident, if ``job`` is the one that this phase waits for."""
    incident = state.incident
    if state.phase != phase or incident is None or incident.job is None or incident.job.id != job:
        return None
    return incident


def evidence(incident: Incident, finding: Finding, label: str) -> Note:
    """The ledger's entry of a finding; ``label`` is unlike any other of the incident."""
    return Note(
        kind="evidence",
        subject=finding.subject,
        body={**msgspec.to_builtins(finding), "incident": incident.id},
        key=f"{incident.id}:evidence:{label}",
    )


def name(digest: str) -> str:
    """A digest for people."""
    return short(digest)
