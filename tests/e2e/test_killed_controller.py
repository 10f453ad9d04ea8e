"""The controller, killed in any phase and started again, ends where it would have ended."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.e2e.conftest import Make

    from hauberk.adapters.http.traffic import Shot
    from hauberk.loop.turns import Turn
    from hauberk.testing.service import Service

PHASES = ("contained", "hardening", "judging", "canary", "checking", "pairing")
# Work in processes of its own: its job, and the phases that come after it.
JOBS = {"hardening": "harden", "judging": "judge", "pairing": "twin"}
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(PHASES, id="every phase of one incident"),
        *(pytest.param((phase,), id=phase, marks=pytest.mark.nightly) for phase in PHASES),
    ],
)
def test_killed_and_started_again_it_ends_the_same(service: Make, kills: Collection[str]) -> None:
    one = service()
    one.start_gateway()
    one.start_controller()
    before = one.home.deployer.routing()
    assert before is not None
    shots = play(one, kills)
    state = one.settle().state
    assert (state.phase, state.incident, state.incidents) == ("serving", None, 1)
    assert (state.routing.mode, state.routing.canary) == ("normal", None)
    assert state.routing.primary != before.primary
    assert state.routing.twin not in {None, before.twin}
    assert one.home.deployer.routing() == state.routing
    closed = [e.body for e in one.home.ledger.entries(kind="incident", subject=state.last)]
    assert [b["outcome"] for b in closed if b["state"] == "closed"] == ["recovered"]
    assert [b["state"] for b in closed] == ["opened", "closed"]
    # One training, however often it was asked for; each job ran once, since it outlives us.
    assert len(state.trainings) == 1
    for kind in JOBS.values():
        (job,) = one.jobs(kind)
        assert one.starts(job).count == 1
    assert one.send(one.rows(5), name="after")[-1].digest == state.routing.primary
    assert one.unlawful(shots) == []
    assert one.home.ledger.verify() > 0
    primaries = {turn.state.routing.primary for turn in one.turns()}
    assert primaries == {before.primary, state.routing.primary}


@pytest.mark.nightly
def test_a_power_cut_while_hardening_goes_on_from_the_checkpoint(service: Make) -> None:
    one = service()
    one.start_gateway()
    one.start_controller()
    one.alarm("an attack")
    one.reach("hardening")
    (job,) = one.jobs("harden")
    checkpoint = one.home.folder / "jobs" / job / "checkpoint.npz"
    one.wait_for(lambda _: checkpoint.exists(), seconds=300)
    for program in (one.controller, one.gateway):
        assert program is not None
        program.kill()
    one.kill_job(job)
    one.start_gateway()
    one.start_controller()
    finish(one)
    assert one.jobs("harden") == [job]
    assert one.starts(job).count == 2
    turn = one.turn()
    assert turn is not None
    assert len(turn.state.trainings) == 1


def play(one: Service, kills: Collection[str]) -> list[Shot]:
    """One incident, the controller killed as soon as the journal shows each of ``kills``."""
    assert one.gateway is not None
    gateway, shots = one.gateway.process, []
    if "contained" in kills:
        gateway.send_signal(signal.SIGSTOP)  # so that the containment cannot be in force yet
    try:
        one.alarm("an attack")
        if "contained" in kills:
            restart(one, "contained")
    finally:
        gateway.send_signal(signal.SIGCONT)
    for phase in PHASES[1:]:
        if phase in kills:
            restart(one, phase)
        if phase in {"canary", "checking"}:
            shots += feed(one, phase)
    return shots + finish(one)


def restart(one: Service, phase: str) -> None:
    """Wait for a phase, kill the controller, and start it again."""
    turn = one.reach(phase)
    assert one.controller is not None
    one.controller.kill()
    assert one.controller.process.returncode == -signal.SIGKILL
    assert turn.state.phase == phase
    one.start_controller()


def feed(one: Service, phase: str) -> list[Shot]:
    """Ordinary requests for as long as a phase waits for them."""
    one.reach(phase)
    return send_until(one, lambda turn: turn.state.phase != phase)


def finish(one: Service) -> list[Shot]:
    """Ordinary requests until the incident is closed."""
    shots = send_until(one, one.is_over)
    turn = one.turn()
    assert turn is not None
    assert turn.state.phase == "serving"
    return shots


def send_until(one: Service, reached: Callable[[Turn], bool]) -> list[Shot]:
    shots: list[Shot] = []
    for number in range(2000):
        turn = one.turn()
        if turn is not None and reached(turn):
            break
        shots += one.send(one.rows(5, seed=number), name=f"honest-{time.monotonic_ns()}")
        time.sleep(0.05)
    return shots
