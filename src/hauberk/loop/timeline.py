"""The journal in words: what happened, when, and what was done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hauberk.core.digest import short
from hauberk.loop.actions import (
    Action,
    Close,
    Contain,
    Harden,
    Judge,
    Note,
    Page,
    Pair,
    Revoke,
    Route,
    Sign,
    Watch,
)
from hauberk.loop.events import (
    Alarm,
    CanaryOver,
    Checked,
    Contained,
    Event,
    Failed,
    Hardened,
    Judged,
    Paired,
    Refused,
    Registered,
    Reviewed,
    Rollback,
    Tick,
)
from hauberk.loop.turns import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.core.ports import Routing
    from hauberk.loop.turns import Turn


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One turn in words; ``at`` in seconds since the epoch, ``phase`` the one after it."""

    at: float
    phase: str
    incident: str
    event: str
    actions: tuple[str, ...]


def timeline(journal: Iterable[bytes]) -> list[Line]:
    """The turns of a journal, as :meth:`hauberk.core.ports.Journal.read` gives them.

    Raises:
        DataError: if a turn cannot be read.
    """
    return [line_of(decode(text, number)) for number, text in enumerate(journal)]


def line_of(turn: Turn) -> Line:
    """One turn in words."""
    state = turn.state
    return Line(
        at=turn.at,
        phase=state.phase,
        incident=state.incident.id if state.incident else "",
        event=say_event(turn.event),
        actions=tuple(say_action(action) for action in turn.actions),
    )


def say_event(event: Event) -> str:  # noqa: PLR0911, PLR0912 - one case an event
    """An event in words."""
    match event:
        case Registered():
            return f"{short(event.routing.primary)} registered"
        case Alarm():
            return f"alarm: {event.finding.message}"
        case Contained():
            return "containment in force"
        case Hardened():
            return f"training gave {short(event.candidate)}"
        case Failed():
            return f"{event.job} failed: {event.reason}"
        case Judged():
            return f"{short(event.candidate)} judged {event.verdict.value}"
        case CanaryOver():
            return f"canary over, {event.finding.verdict.value}: {event.finding.message}"
        case Checked():
            return (
                f"checked on live traffic, {event.finding.verdict.value}: {event.finding.message}"
            )
        case Paired():
            return f"{short(event.candidate)} has the twin {short(event.twin)}"
        case Reviewed():
            return f"{event.reviewer}: {event.verdict}"
        case Rollback():
            return f"rollback by {event.by}: {event.reason}"
        case Refused():
            return f"{event.action} refused: {event.reason}"
        case Tick():
            return "time went by"


def say_action(action: Action) -> str:  # noqa: PLR0911 - one case an action
    """An action in words."""
    match action:
        case Contain():
            return f"contain: {_say_routing(action.routing)}"
        case Route():
            return f"route: {_say_routing(action.routing)}"
        case Harden() | Judge() | Pair():
            return f"start {action.job.id}"
        case Sign():
            return f"sign {short(action.digest)} as {action.role}"
        case Revoke():
            return f"revoke {short(action.digest)}: {action.reason}"
        case Page():
            return f"page: {action.message}"
        case Watch():
            return f"count {action.requests} answers of {short(action.digest)} on {action.route}"
        case Note():
            return f"enter {action.kind} of {short(action.subject)}"
        case Close():
            return f"close {action.incident}: {action.outcome}"


def _say_routing(routing: Routing) -> str:
    who = short(routing.primary)
    if routing.mode == "contained":
        who = f"twin {short(routing.twin or '')} answers for {who}"
    elif routing.mode == "abstain":
        who = f"{who} answers, suspects get an abstention"
    else:
        who = f"{who} answers"
    if routing.canary:
        who += f", canary {short(routing.canary)} gets {routing.canary_share:.0%}"
    return who
