"""What comes from outside the loop: an operator's routing, a review, a rollback, a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hauberk.loop.actions import Note, Page
from hauberk.loop.moves import (
    Result,
    back,
    close,
    halt,
    name,
    normal,
    revoked,
    routed,
    seen,
    usable,
)
from hauberk.loop.state import KEPT_PAIRS, Served, State, served_by

if TYPE_CHECKING:
    from hauberk.loop.actions import Action
    from hauberk.loop.events import Refused, Registered, Reviewed, Rollback


def on_registered(state: State, event: Registered) -> Result:
    """Outside of incidents the operator's choice is adopted; inside, the loop's own holds."""
    if state.phase != "serving":
        return state, ()
    routing, served = event.routing, served_by(event.routing)
    if usable(served, state) != served:
        return _stop(state, f"{name(served.primary)} or its twin was revoked", event.at)
    past = state.past
    if served.primary != state.served.primary:
        past = (*past, state.served)[-KEPT_PAIRS:]
    state = replace(state, served=served, past=past, routing=routing)
    if routing.mode != "normal" or routing.canary:
        return _stop(
            state, "the gateway is in an incident that the journal does not know", event.at
        )
    return state, ()


def on_reviewed(state: State, event: Reviewed) -> Result:
    """A false alarm leaves the service as it was before; a confirmation is kept."""
    incident = state.incident
    if incident is None or incident.id != event.incident:
        return state, ()
    if event.verdict == "dismiss":
        note = Note(
            kind="incident",
            subject=incident.id,
            body={"state": "dismissed", "by": event.reviewer},
            key=f"{incident.id}:incident:dismissed",
        )
        state, actions = close(state, incident, "dismissed", incident.before, event.at)
        return state, (note, *actions)
    if incident.confirmed_by:
        return state, ()
    note = Note(
        kind="incident",
        subject=incident.id,
        body={"state": "confirmed", "by": event.reviewer},
        key=f"{incident.id}:incident:confirmed",
    )
    confirmed = replace(incident, confirmed_by=event.reviewer or "unnamed")
    return replace(state, incident=confirmed), (note,)


def on_rollback(state: State, event: Rollback) -> Result:
    """Back to the last good pair; what the loop had put in its place is revoked."""
    if event.key and event.key in state.seen:
        return state, ()
    state = seen(state, event.key) if event.key else state
    reason = f"rolled back by {event.by}: {event.reason}"
    incident = state.incident
    if incident is None:
        return _rollback_service(state, event, reason)
    note = Note(
        kind="incident",
        subject=incident.id,
        body={"state": "rolled back", "by": event.by, "reason": event.reason},
        key=f"{incident.id}:incident:rollback",
    )
    actions: tuple[Action, ...] = (note,)
    if state.phase in {"canary", "checking", "pairing"} and incident.candidate:
        state, revocation = revoked(state, incident.candidate, reason)
        actions = (note, revocation)
    state, closing = close(state, incident, "rolled-back", incident.before, event.at)
    return state, (*closing, *actions)


def on_refused(state: State, event: Refused) -> Result:
    """Fail closed: what a port refuses stops the loop; a candidate on its way is taken back."""
    reason = f"{event.action} was refused: {event.reason}"
    incident = state.incident
    if state.phase == "halted":
        return state, ()
    if incident is None:
        return _stop(state, reason, event.at)
    if state.phase in {"canary", "checking", "pairing"}:
        return back(state, incident, reason, revoke=False)
    return halt(state, incident, reason)


def _rollback_service(state: State, event: Rollback, reason: str) -> Result:
    """Outside of an incident: the newest earlier pair that holds nothing revoked.

    The model in service counts as revoked already, since it may be the twin of an earlier pair.
    """
    scope, current = state.last or state.name, state.served.primary
    barred, revocation = revoked(state, current, reason)
    past = list(state.past)
    target: Served | None = None
    while past and target is None:
        target = usable(past.pop(), barred)
    if target:
        actions: tuple[Action, ...] = (revocation,)
        state = replace(barred, past=tuple(past))
    elif state.phase == "halted" and (target := usable(state.served, state)):
        actions = ()
    else:
        return state, (Page(incident=scope, message=f"nothing to roll back to ({reason})"),)
    state = replace(state, phase="serving", served=target)
    key = f"{scope}:{name(current)}"
    state, route = routed(state, normal(target), f"rollback:{event.key or event.at}", scope=key)
    message = f"{name(target.primary)} in place of {name(current)}: {reason}"
    return state, (route, *actions, Page(incident=scope, message=message))


def _stop(state: State, reason: str, at: float) -> Result:
    """Halt outside of an incident."""
    scope = state.last or state.name
    note = Note(
        kind="incident",
        subject=scope,
        body={"state": "halted", "phase": state.phase, "reason": reason},
        key=f"{scope}:incident:stopped:{at}",
    )
    page = Page(incident=scope, message=f"the loop halted: {reason}")
    return replace(state, phase="halted"), (page, note)
