"""The controller of one service on this machine: the loop over the local ports."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hauberk.adapters.local.files import create_file, take_lock, write_file
from hauberk.adapters.local.inbox import Command, Inbox
from hauberk.adapters.local.sharing import Reach
from hauberk.adapters.mlflow.following import following
from hauberk.core.errors import EnvironmentFault
from hauberk.core.spec import write_spec
from hauberk.guard.calibration import Calibration
from hauberk.guard.gauge import Gauge
from hauberk.loop.hands import Ports
from hauberk.loop.lookout import Watchers
from hauberk.loop.run import Loop
from hauberk.loop.turns import Turn, last_turn
from hauberk.monitor import station
from hauberk.monitor.agreement import AgreementMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.adapters.local.home import Home
    from hauberk.core.spec import Spec
    from hauberk.loop.actions import Watch
    from hauberk.loop.state import Served
    from hauberk.monitor.fold import Monitor

PAUSE = 0.1
"""Seconds between two rounds."""


def make_loop(
    home: Home,
    spec: Spec,
    *,
    ports: Ports | None = None,
    on_turn: Callable[[Turn], None] = lambda _: None,
) -> Loop:
    """The loop of a state directory, by its own ports or by others; it has to be started."""

    def monitors(served: Served) -> list[Monitor]:
        if served.calibration is None:
            return []
        fitted = Calibration.from_bytes(home.store.get(served.calibration))
        gauge = Gauge.from_bytes(home.store.get(fitted.gauge)) if fitted.gauge else None
        wanted = ("attack", "drift", *spec.detect.also)
        made = station.monitors(
            fitted,
            gauge=gauge,
            alpha=spec.detect.alpha,
            repeats=spec.detect.repeats,
            only=wanted,
        )
        return list(made.values())

    def tally(watch: Watch) -> Monitor:
        return AgreementMonitor(
            digest=watch.digest,
            routes=(watch.route,),
            requests=watch.requests,
            limit=watch.agreement,
        )

    if ports is None:
        reach = Reach(home, spec)
        ports = Ports(
            deployer=reach.deployer,
            trainer=home.trainer,
            ledger=home.ledger,
            journal=home.journal,
            trust=home.trust,
            pager=home.pager,
            records=reach.records,
        )
    return Loop(
        spec.model.name,
        rules=spec.loop,
        ports=ports,
        watchers=Watchers(monitors=monitors, tally=tally),
        clock=time.time,
        on_turn=on_turn,
    )


@contextmanager
def sole_controller(home: Home) -> Iterator[bool]:
    """Hold the controller's lock, if no other process does; yields whether it is held."""
    lock = take_lock(home.folder / "controller.lock")
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def control(
    home: Home, spec: Spec, *, stop: Callable[[], bool], on_turn: Callable[[Turn], None]
) -> None:
    """Run the loop and take commands from the inbox until ``stop()``.

    Raises:
        EnvironmentFault: if another controller runs here.
    """
    with sole_controller(home) as alone:
        if not alone:
            raise EnvironmentFault(
                "another controller runs here",
                where=str(home.folder),
                hint="one `hauberk loop run` per state directory",
            )
        loop, inbox = make_loop(home, spec, on_turn=on_turn), Inbox(home.folder / "inbox")
        write_file(home.orders, write_spec(spec).encode())
        shown = following(
            spec,
            ledger=home.ledger,
            store=home.store,
            trust=home.trust,
            tell=lambda why: home.pager.page(spec.model.name, why, at=time.time()),
        )
        loop.start()
        while not stop():
            with suppress(EnvironmentFault):  # it waits in the inbox for the next round
                for path, command in inbox.waiting():
                    if command:
                        loop.take(command)
                    path.unlink()
            loop.tick()
            if shown:
                shown.see(loop.state.routing)
            time.sleep(PAUSE)


def command(home: Home, spec: Spec, event: Command, *, seconds: float = 5.0) -> Turn:
    """Have an event taken: by the running controller, or here where none runs.

    Returns the last turn after it.

    Raises:
        EnvironmentFault: if the controller does not take it in time.
    """
    with sole_controller(home) as alone:
        if alone:
            loop = make_loop(home, spec)
            create_file(home.orders, write_spec(spec).encode())
            loop.start()
            loop.take(event)
            loop.tick()
            return _last(home, spec)
    left = Inbox(home.folder / "inbox").leave(event)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not left.exists():  # the controller journals a command before it removes it
            return _last(home, spec)
        time.sleep(0.05)
    raise EnvironmentFault(
        f"the controller did not take the command within {seconds:g} s",
        where=str(home.folder),
        hint="it stays in the inbox; `hauberk loop status` shows what the controller does",
    )


def _last(home: Home, spec: Spec) -> Turn:
    last = last_turn(home.journal, spec.model.name)
    if last is None:
        raise EnvironmentFault("the loop has not started yet", where=str(home.folder))
    return last[1]
