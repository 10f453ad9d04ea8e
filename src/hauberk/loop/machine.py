"""The closed loop as a function: ``step(state, event) -> (state, actions)``.

::

    serving ── Alarm ─► contained ── Contained, budget ─► hardening ── Hardened ─► judging
       ▲                                                                             │ pass
       └── Paired ── pairing ◄── Checked ── checking ◄── CanaryOver ── canary ◄──────┘

    fail, unknown, refused or too little traffic ─► halted ── Rollback or Reviewed ─► serving

It is total and has no clock: an event that does not fit the phase, the job or the candidate
changes nothing. Only what was registered, judged ``pass`` or signed as a twin is ever in a
routing, and nothing that was revoked.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from hauberk.core.evidence import Verdict
from hauberk.core.ports import Job
from hauberk.core.rule import RULES
from hauberk.loop.actions import Contain, Harden, Judge, Note, Page
from hauberk.loop.budget import held_back, remaining
from hauberk.loop.events import (
    Alarm,
    CanaryOver,
    Checked,
    Contained,
    Event,
    Failed,
    Finding,
    Hardened,
    Judged,
    Paired,
    Refused,
    Registered,
    Reviewed,
    Rollback,
    Tick,
)
from hauberk.loop.moves import Result, at_work, contained, evidence, halt, known, name, seen
from hauberk.loop.people import on_refused, on_registered, on_reviewed, on_rollback
from hauberk.loop.promotion import (
    on_canary_over,
    on_checked,
    on_judged,
    on_paired,
    out_of_time,
    unpaired,
)
from hauberk.loop.state import Incident, State, incident_id


def step(state: State, event: Event) -> Result:  # noqa: PLR0911, PLR0912 - one case an event
    """The next state and what to do, in order; the same state and nothing for a stale event."""
    match event:
        case Registered():
            return on_registered(state, event)
        case Alarm():
            return _on_alarm(state, event)
        case Contained():
            return _on_contained(state, event)
        case Hardened():
            return _on_hardened(state, event)
        case Failed():
            return _on_failed(state, event)
        case Judged():
            return on_judged(state, event)
        case CanaryOver():
            return on_canary_over(state, event)
        case Checked():
            return on_checked(state, event)
        case Paired():
            return on_paired(state, event)
        case Reviewed():
            return on_reviewed(state, event)
        case Rollback():
            return on_rollback(state, event)
        case Refused():
            return on_refused(state, event)
        case Tick():
            return _on_tick(state, event)
    assert_never(event)


def _on_alarm(state: State, event: Alarm) -> Result:
    """Open an incident and contain it, or join the open one."""
    if event.key in state.seen:
        return state, ()
    if state.incident:
        joined = replace(state.incident, alarms=state.incident.alarms + 1)
        return seen(replace(state, incident=joined), event.key), ()
    if state.phase != "serving" or event.digest != state.served.primary:
        return state, ()
    incident = Incident(
        id=incident_id(state, event.key),
        number=state.incidents + 1,
        opened=event.at,
        trigger=event.finding.message[:500],
        before=state.served,
    )
    routing = contained(state, state.served, incident.id)
    state = replace(
        seen(state, event.key),
        phase="contained",
        incident=incident,
        incidents=incident.number,
        last=incident.id,
        routing=routing,
    )
    finding = event.finding
    return state, (
        Contain(routing=routing, key=f"{incident.id}:deployment:contain"),
        Page(
            incident=incident.id,
            message=f"attack on {name(event.digest)}: {finding.message}; service {routing.mode}",
        ),
        Note(
            kind="incident",
            subject=incident.id,
            body={"state": "opened", "primary": event.digest, "mode": routing.mode},
            key=f"{incident.id}:incident:opened",
        ),
        evidence(incident, finding, "alarm"),
    )


def _on_contained(state: State, event: Contained) -> Result:
    incident = state.incident
    if state.phase != "contained" or incident is None or incident.id != event.incident:
        return state, ()
    return _train(state, replace(incident, contained=True), event.at)


def _on_tick(state: State, event: Tick) -> Result:
    incident = state.incident
    if incident is None:
        return state, ()
    if state.phase == "contained" and incident.contained:
        return _train(state, incident, event.at)
    return out_of_time(state, incident, event.at)


def _train(state: State, incident: Incident, at: float) -> Result:
    """Start the incident's one training when the budget allows it; say once that it does not."""
    why = held_back(state.trainings, state.rules, at)
    if why:
        page = Page(
            incident=incident.id,
            message=f"training held back: {why}; the service stays {state.routing.mode}",
        )
        waiting = replace(state, incident=replace(incident, waiting=True))
        return waiting, () if incident.waiting else (page,)
    job = Job(
        id=f"{incident.id}-harden",
        kind="harden",
        incident=incident.id,
        inputs={"primary": state.served.primary},
        seed=2 * incident.number,
    )
    starts = (*remaining(state.trainings, state.rules, at), at)
    state = replace(
        state,
        phase="hardening",
        incident=replace(incident, waiting=False, job=job),
        trainings=starts,
    )
    within = sum(at - start < state.rules.window for start in starts)
    finding = Finding(
        rule="HB-L002",
        subject=incident.id,
        verdict=Verdict.PASS,
        message=f"{within} trainings within {state.rules.window:g} s",
        value=within,
        limit=state.rules.max_trainings,
        severity=RULES["HB-L002"].severity,
    )
    return state, (Harden(job=job), evidence(incident, finding, "budget"))


def _on_hardened(state: State, event: Hardened) -> Result:
    """Have the candidate judged; one that already serves, or was revoked, is none."""
    incident = at_work(state, "hardening", event.job)
    if incident is None:
        return state, ()
    if event.candidate in state.revoked:
        return halt(state, incident, f"the training gave {name(event.candidate)}, a revoked model")
    if event.candidate in known(state):
        return halt(state, incident, f"the training gave {name(event.candidate)}, a known model")
    served = state.served
    inputs = {"primary": served.primary, "candidate": event.candidate}
    if served.twin:
        inputs["twin"] = served.twin
    job = Job(
        id=f"{incident.id}-judge",
        kind="judge",
        incident=incident.id,
        inputs=inputs,
        seed=2 * incident.number,
    )
    incident = replace(incident, job=job, candidate=event.candidate)
    return replace(state, phase="judging", incident=incident), (Judge(job=job),)


def _on_failed(state: State, event: Failed) -> Result:
    """Without a candidate the containment stays; without a twin the old one goes on."""
    training = at_work(state, "hardening", event.job) or at_work(state, "judging", event.job)
    if training:
        return halt(state, training, f"{event.job}: {event.reason}")
    pairing = at_work(state, "pairing", event.job)
    return unpaired(state, pairing, event.reason, event.at) if pairing else (state, ())
