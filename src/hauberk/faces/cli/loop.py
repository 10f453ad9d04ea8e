"""``hauberk loop``: the controller, and a person's commands to it."""

from __future__ import annotations

import getpass
import signal
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.digest import short
from hauberk.core.errors import EnvironmentFault
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.local.home import Home
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.loop.turns import Turn


@click.group()
def command() -> None:
    """Watch, contain, harden, judge and promote, without end; and command it."""


@command.command()
@options.spec("data", "threat", "model.name")
@options.state
@options.output("table")
def run(*, spec: Spec, state: Path, output: Output) -> int:
    """Run the controller until SIGTERM; killed at any time, it goes on where it was."""
    from hauberk.adapters.local.controller import control

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def tell(turn: Turn) -> None:
        output.say(_line(turn))

    output.say(f"controller of {spec.model.name!r} in {state}")
    control(_home(state).placed(spec.state), spec, stop=stop.is_set, on_turn=tell)
    return 0


@command.command()
@options.spec("model.name")
@options.state
@options.output("table", "json")
def status(*, spec: Spec, state: Path, output: Output) -> int:
    """Say which phase the loop is in, and who answers. Exit code 1 while halted."""
    turn = _last(_home(state), spec)
    now, incident = turn.state, turn.state.incident
    facts: dict[str, Any] = {
        "phase": now.phase,
        "since": turn.at,
        "primary": now.routing.primary,
        "twin": now.routing.twin,
        "mode": now.routing.mode,
        "canary": now.routing.canary,
        "incident": incident.id if incident else None,
        "alarms": incident.alarms if incident else 0,
        "trainings": len(now.trainings),
        "revoked": list(now.revoked),
    }
    if output.form == "json":
        output.data(facts)
    else:
        output.listing(["key", "value"], [[key, str(value)] for key, value in facts.items()])
    return 1 if now.phase == "halted" else 0


@command.command()
@options.spec("model.name")
@options.state
@options.output("table", "json", "md")
def journal(*, spec: Spec, state: Path, output: Output) -> int:
    """List every turn of the journal in words."""
    from hauberk.loop.timeline import timeline

    listed = [
        [
            time.strftime("%H:%M:%S", time.gmtime(row.at)),
            row.phase,
            row.event,
            "; ".join(row.actions),
        ]
        for row in timeline(_home(state).journal.read(spec.model.name))
    ]
    output.listing(["at", "phase", "event", "actions"], listed)
    return 0


@command.command()
@click.option("--reason", default="an operator's decision", show_default=True)
@options.spec("model.name")
@options.state
@options.output("table", "json")
def rollback(*, reason: str, spec: Spec, state: Path, output: Output) -> int:
    """Return to the last good digest at once, and revoke what replaced it."""
    from hauberk.loop.events import Rollback

    began = time.monotonic()
    event = Rollback(at=time.time(), by=getpass.getuser(), reason=reason, key=uuid.uuid4().hex)
    return _command(event, spec, state, output, began)


@command.command()
@click.argument("verdict", type=click.Choice(["confirm", "dismiss"]))
@click.option("--by", default="", help="Who says so. [default: the user]")
@options.spec("model.name")
@options.state
@options.output("table", "json")
def review(*, verdict: str, by: str, spec: Spec, state: Path, output: Output) -> int:
    """Confirm the open incident, or dismiss it as a false alarm."""
    from hauberk.loop.events import Reviewed

    began, home = time.monotonic(), _home(state)
    incident = _last(home, spec).state.incident
    if incident is None:
        raise EnvironmentFault("no incident is open", where=str(state))
    event = Reviewed(
        at=time.time(),
        incident=incident.id,
        verdict="dismiss" if verdict == "dismiss" else "confirm",
        reviewer=by or getpass.getuser(),
    )
    return _command(event, spec, state, output, began)


@command.command()
@click.option("--reason", required=True, help="What another monitor saw.")
@click.option("--key", default="", help="The same key is the same alarm.")
@options.spec("model.name")
@options.state
@options.output("table", "json")
def alarm(*, reason: str, key: str, spec: Spec, state: Path, output: Output) -> int:
    """Raise the alarm from outside, as another monitor or a person would."""
    from hauberk.core.evidence import Severity, Verdict
    from hauberk.loop.events import Alarm, Finding

    began = time.monotonic()
    digest = _last(_home(state), spec).state.served.primary
    finding = Finding(
        rule="HB-D001",
        subject=digest,
        verdict=Verdict.FAIL,
        severity=Severity.CRITICAL,
        message=f"raised by {getpass.getuser()}: {reason}",
    )
    event = Alarm(at=time.time(), key=key or uuid.uuid4().hex, digest=digest, finding=finding)
    return _command(event, spec, state, output, began)


def _command(event: Any, spec: Spec, state: Path, output: Output, began: float) -> int:
    from hauberk.adapters.local.controller import command as have_taken

    turn = have_taken(_home(state), spec, event)
    facts = {
        "phase": turn.state.phase,
        "primary": turn.state.routing.primary,
        "mode": turn.state.routing.mode,
        "seconds": round(time.monotonic() - began, 3),
    }
    if output.form == "json":
        output.data(facts)
    else:
        output.listing(["key", "value"], [[key, str(value)] for key, value in facts.items()])
    return 0


def _line(turn: Turn) -> str:
    done = ", ".join(type(action).__name__.lower() for action in turn.actions) or "nothing to do"
    when = time.strftime("%H:%M:%S", time.gmtime(turn.at))
    return (
        f"{when} {type(turn.event).__name__} -> {turn.state.phase} "
        f"[{short(turn.state.routing.primary)} {turn.state.routing.mode}]: {done}"
    )


def _last(home: Home, spec: Spec) -> Turn:
    from hauberk.loop.turns import last_turn

    last = last_turn(home.journal, spec.model.name)
    if last is None:
        raise EnvironmentFault(
            "the loop has not started yet",
            where=str(home.folder),
            hint="`hauberk loop run` starts it",
        )
    return last[1]


def _home(state: Path) -> Home:
    from hauberk.adapters.local.home import Home

    return Home.open(state)
