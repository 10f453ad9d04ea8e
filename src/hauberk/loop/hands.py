"""Actions carried out by the ports: in order, each as often as it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from hauberk.core.errors import ConfigError, EnvironmentFault, HauberkError, Refused, UserError
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
)
from hauberk.loop.events import Contained, Event, Failed
from hauberk.loop.events import Refused as RefusedEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.ports import (
        Deployer,
        Job,
        Journal,
        Ledger,
        Pager,
        RecordSource,
        Routing,
        Trainer,
    )
    from hauberk.loop.state import State

_WORK = (Harden, Judge, Pair)
_FREE = (Page, Revoke, *_WORK)
"""What need not wait for a routing that is not yet in force."""


class Trust(Protocol):
    """Signs releases and revokes digests; twice is the same as once."""

    def sign(self, digest: str, predicate: dict[str, Any], at: float, /) -> object:
        """Sign the release of a digest on the grounds given; ``at`` in seconds since the epoch.

        Raises:
            Untrusted: if the digest was revoked, or its content is missing or altered.
        """

    def revoke(self, digest: str, reason: str, at: float, /) -> object:
        """Never let the digest be served again."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """All that the loop needs of the outside world."""

    deployer: Deployer
    trainer: Trainer
    ledger: Ledger
    journal: Journal
    trust: Trust
    pager: Pager
    records: RecordSource


@dataclass(kw_only=True)
class Carried:
    """What came of it: what is left to try again, what followed, and what stood in the way."""

    left: list[Action] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def carry_out(actions: Sequence[Action], ports: Ports, *, at: float) -> Carried:
    """Do everything that can be done now.

    Where a signature or a routing has to be tried again, what tells of it waits behind it. Where
    one is refused, what would have followed is dropped, but for pages and revocations.
    """
    carried = Carried()
    held = refused = False
    for action in actions:
        if refused and not isinstance(action, Page | Revoke):
            continue
        if held and not isinstance(action, _FREE):
            carried.left.append(action)
            continue
        try:
            event = _do(action, ports, at)
            carried.events += [event] if event else []
        except (HauberkError, OSError) as error:
            kind = type(action).__name__.lower()
            if not _final(error):
                carried.faults.append(f"cannot {kind} yet: {error}")
                carried.left.append(action)
                held = held or isinstance(action, Sign | Route)
            elif isinstance(action, Page):  # no reason to stop the loop, nor to try it again
                carried.faults.append(f"cannot page: {error}")
            else:
                carried.events.append(RefusedEvent(at=at, action=kind, reason=str(error)[:1000]))
                refused = refused or isinstance(action, Sign | Route)
    return carried


def merge(left: Sequence[Action], new: Sequence[Action], state: State) -> tuple[Action, ...]:
    """What is still to be done, without what a later turn has made void."""
    rerouted = any(isinstance(action, Contain | Route) for action in new)
    job = state.incident.job if state.incident else None
    routing = state.routing
    kept: list[Action] = []
    for action in left:
        match action:
            case Contain() | Route():
                void = rerouted
            case Harden() | Judge() | Pair():
                void = action.job != job
            case Sign():
                void = action.digest not in {routing.primary, routing.twin, routing.canary}
            case _:
                void = False
        kept += [] if void else [action]
    return (*kept, *new)


def submit(job: Job, ports: Ports, at: float) -> Failed | None:
    """Start a job, or resume it; one that cannot be started as it is has failed."""
    try:
        ports.trainer.submit(job)
    except EnvironmentFault:
        raise
    except UserError as error:
        return Failed(at=at, job=job.id, reason=str(error)[:1000])
    return None


def _do(action: Action, ports: Ports, at: float) -> Event | None:
    match action:
        case Contain():
            _route(action.routing, action.key, ports, at)
            return Contained(at=at, incident=action.routing.incident or "")
        case Route():
            _route(action.routing, action.key, ports, at)
        case Harden() | Judge() | Pair():
            return submit(action.job, ports, at)
        case Sign():
            ports.trust.sign(action.digest, _grounds(action), at)
        case Revoke():
            ports.trust.revoke(action.digest, action.reason, at)
        case Page():
            ports.pager.page(action.incident, action.message, at=at)
        case Note():
            ports.ledger.append(action.kind, action.subject, action.body, at=at, key=action.key)
        case Close():
            key = f"{action.incident}:incident:closed"
            ports.ledger.append("incident", action.incident, action.body, at=at, key=key)
        case _:  # Watch: the lookout reads it off the state
            pass
    return None


def _route(routing: Routing, key: str, ports: Ports, at: float) -> None:
    ports.deployer.route(routing)
    body = msgspec.to_builtins(routing)
    ports.ledger.append("deployment", routing.primary, body, at=at, key=key)


def _grounds(action: Sign) -> dict[str, Any]:
    return {
        "role": action.role,
        "verdict": action.verdict.value,
        "policy": action.policy,
        "decision": action.decision,
        "evidence": list(action.evidence),
        "incident": action.incident,
    }


def _final(error: HauberkError | OSError) -> bool:
    """Whether trying again is of no use: a refusal, or a fault in what was asked for."""
    if isinstance(error, EnvironmentFault | ConfigError | OSError):
        return False
    return isinstance(error, Refused | UserError)
