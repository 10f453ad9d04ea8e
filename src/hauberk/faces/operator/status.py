"""What a ``ModelShield`` says of itself: the loop's state in the words of a status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hauberk.adapters.kserve.component import percent_of
from hauberk.core.digest import short

if TYPE_CHECKING:
    from hauberk.core.ports import Entry
    from hauberk.loop.state import State

_MAX_TEXT = 1024


def status_of(
    state: State | None,
    *,
    conditions: list[dict[str, Any]],
    evidence: Entry | None,
    generation: int,
) -> dict[str, Any]:
    """The whole status; without a state only its conditions."""
    found: dict[str, Any] = {"observedGeneration": generation, "conditions": conditions}
    if state is None:
        return found
    routing, incident = state.routing, state.incident
    found |= {
        "phase": state.phase,
        "serving": short(routing.primary),
        "servingDigest": routing.primary,
        "mode": routing.mode,
        "canaryPercent": percent_of(routing),
        "trainings": len(state.trainings),
    }
    if routing.twin:
        found["twinDigest"] = routing.twin
    if incident:
        found["incident"] = incident.id
    if incident and incident.candidate:
        found["candidate"] = incident.candidate
    if evidence:
        body = evidence.body
        found["lastEvidence"] = {
            "rule": str(body.get("rule", "")),
            "verdict": str(body.get("verdict", "")),
            "subject": evidence.subject,
            "message": str(body.get("message", ""))[:_MAX_TEXT],
            "at": moment(evidence.at),
        }
    return found


def conditions_of(
    state: State | None, *, obstacle: str, fault: str, generation: int, at: float
) -> list[dict[str, Any]]:
    """The conditions: shielded, in service as wanted, and whether the loop can do its work.

    ``obstacle`` is why the service is not shielded, ``fault`` what last stood in the loop's way.
    """
    incident = state.incident if state else None
    lines = [
        ("Shielded", not obstacle, "Injected" if not obstacle else "NotShielded", obstacle),
        (
            "Nominal",
            bool(state and state.phase == "serving"),
            {"serving": "Serving", "halted": "Halted"}.get(state.phase, "Incident")
            if state
            else "NotStarted",
            incident.trigger if incident else "",
        ),
        ("Working", not fault, "Working" if not fault else "TryingAgain", fault),
    ]
    return [
        {
            "type": kind,
            "status": "True" if holds else "False",
            "reason": reason,
            "message": message[:_MAX_TEXT],
            "lastTransitionTime": moment(at),
            "observedGeneration": generation,
        }
        for kind, holds, reason, message in lines
    ]


def steady(fresh: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fresh conditions with the time at which each last changed its status."""
    known = {one["type"]: one for one in before}
    result = []
    for one in fresh:
        old = known.get(one["type"])
        same = old is not None and old["status"] == one["status"]
        since = old["lastTransitionTime"] if same and old else one["lastTransitionTime"]
        result.append({**one, "lastTransitionTime": since})
    return result


def moment(at: float) -> str:
    """Seconds since the epoch as Kubernetes writes a time."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
