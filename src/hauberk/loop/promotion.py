"""From the judgement to a new pair in service: canary, promotion, check, and the new twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hauberk.core.evidence import Verdict
from hauberk.core.ports import Job
from hauberk.loop.actions import Note, Page, Pair, Sign, Watch
from hauberk.loop.moves import (
    Result,
    at_work,
    back,
    close,
    contained,
    evidence,
    halt,
    known,
    name,
    normal,
    routed,
)
from hauberk.loop.state import Incident, Served, State

if TYPE_CHECKING:
    from hauberk.loop.events import CanaryOver, Checked, Finding, Judged, Paired


def on_judged(state: State, event: Judged) -> Result:
    """Only ``pass`` lets a candidate near the traffic, and then as a canary beside the twin."""
    incident = at_work(state, "judging", event.job)
    if incident is None or incident.candidate != event.candidate:
        return state, ()
    note = Note(
        kind="decision",
        subject=event.candidate,
        body={
            "incident": incident.id,
            "verdict": event.verdict.value,
            "policy": event.policy,
            "decision": event.decision,
            "evidence": list(event.evidence),
        },
        key=f"{incident.id}:decision:judged",
    )
    why = "" if event.verdict is Verdict.PASS else event.reason or f"judged {event.verdict.value}"
    if not why and state.served.twin and not event.calibration:
        why = "judged without a calibration, so that nothing could watch it"
    if why:
        state, actions = halt(state, incident, f"{name(event.candidate)} is not promoted: {why}")
        return state, (note, *actions)
    sign = Sign(
        digest=event.candidate,
        role="primary",
        incident=incident.id,
        verdict=event.verdict,
        policy=event.policy,
        decision=event.decision,
        evidence=event.evidence,
    )
    routing = replace(
        contained(state, state.served, incident.id),
        canary=event.candidate,
        canary_share=state.rules.canary_share,
    )
    calibration = event.calibration if state.served.twin else None
    incident = replace(incident, calibration=calibration, since=event.at)
    state = replace(state, phase="canary", incident=incident)
    state, route = routed(state, routing, "canary")
    return state, (note, sign, route, watch(state, event.candidate))


def watch(state: State, candidate: str) -> Watch:
    """What is to be counted in the phases ``canary`` and ``checking``."""
    rules = state.rules
    if state.phase == "canary":
        return Watch(
            kind="canary",
            digest=candidate,
            route="canary",
            requests=rules.canary_requests,
            agreement=rules.min_agreement,
        )
    return Watch(
        kind="check",
        digest=candidate,
        route="primary",
        requests=rules.post_requests,
        agreement=rules.min_agreement,
    )


def on_canary_over(state: State, event: CanaryOver) -> Result:
    """A canary that held is promoted: it answers, with the present twin beside it."""
    incident = state.incident
    if state.phase != "canary" or incident is None or incident.candidate != event.candidate:
        return state, ()
    note = evidence(incident, event.finding, "canary")
    if event.finding.verdict is not Verdict.PASS:
        return _withdraw(state, incident, event.finding, note)
    served = Served(
        primary=event.candidate, twin=state.served.twin, calibration=incident.calibration
    )
    incident = replace(incident, since=event.at)
    state = replace(state, phase="checking", served=served, incident=incident)
    state, route = routed(state, normal(served, incident.id), "promote")
    return state, (note, route, watch(state, event.candidate))


def on_checked(state: State, event: Checked) -> Result:
    """A promoted candidate that holds on live traffic gets a twin of its own."""
    incident = state.incident
    if state.phase != "checking" or incident is None or incident.candidate != event.candidate:
        return state, ()
    note = evidence(incident, event.finding, "check")
    if event.finding.verdict is not Verdict.PASS:
        return _withdraw(state, incident, event.finding, note)
    job = Job(
        id=f"{incident.id}-twin",
        kind="twin",
        incident=incident.id,
        inputs={"primary": event.candidate, "candidate": event.candidate},
        seed=2 * incident.number + 1,  # a twin shares its seed with no candidate
    )
    return replace(state, phase="pairing", incident=replace(incident, job=job)), (
        note,
        Pair(job=job),
    )


def on_paired(state: State, event: Paired) -> Result:
    """The new pair is put into service, and the incident is over."""
    incident = at_work(state, "pairing", event.job)
    if incident is None or incident.candidate != event.candidate:
        return state, ()
    if event.twin in state.revoked or event.twin in known(state):
        return unpaired(state, incident, f"{name(event.twin)} cannot be its twin", event.at)
    served = Served(primary=event.candidate, twin=event.twin, calibration=event.calibration)
    sign = Sign(digest=event.twin, role="twin", incident=incident.id, verdict=Verdict.UNKNOWN)
    state, actions = close(state, incident, "recovered", served, event.at)
    return state, (sign, *actions)


def unpaired(state: State, incident: Incident, reason: str, at: float) -> Result:
    """The service recovered, but its twin is still that of the model before."""
    page = Page(
        incident=incident.id,
        message=f"recovered, but the twin is still the old one: {reason}",
    )
    state, actions = close(state, incident, "recovered-old-twin", state.served, at)
    return state, (*actions, page)


def out_of_time(state: State, incident: Incident, at: float) -> Result:
    """Too little live traffic is no evidence: not promoted, but not revoked either."""
    if state.phase not in {"canary", "checking"}:
        return state, ()
    if at - incident.since < state.rules.traffic_timeout:
        return state, ()
    reason = f"too little traffic to judge by within {state.rules.traffic_timeout:g} s"
    return back(state, incident, reason, revoke=False)


def _withdraw(state: State, incident: Incident, finding: Finding, note: Note) -> Result:
    """A candidate that failed is revoked; one of which nothing is known is only taken back."""
    failed = finding.verdict is Verdict.FAIL
    state, actions = back(state, incident, finding.message, revoke=failed)
    return state, (note, *actions)
