"""What a restart, or a fault at the wrong moment, must neither lose nor do twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from hauberk.core.ports import JobStatus
from hauberk.core.spec import LoopSpec
from hauberk.loop.events import Rollback
from hauberk.loop.lookout import Watchers
from hauberk.loop.moves import normal
from hauberk.loop.run import Loop
from hauberk.loop.state import Served
from hauberk.testing.loop_fakes import Streak, Tally, World, digest

if TYPE_CHECKING:
    from hauberk.loop.turns import Turn

A, TWIN_A, B = digest("a"), digest("twin a"), digest("b")
PAIR_A = Served(primary=A, twin=TWIN_A, calibration=digest("cal a"))
RULES = LoopSpec(cooldown=0.0)


def a_world() -> World:
    return World(routing=normal(PAIR_A), signed={A, TWIN_A})


def started(world: World) -> Loop:
    loop = world.loop("svc", RULES)
    loop.start()
    return loop


def test_a_restart_counts_no_record_twice() -> None:
    world = a_world()
    loop = started(world)
    world.traffic(3, attack=True)
    loop.tick()
    for _ in range(3):
        loop = started(world)
        loop.tick()
    assert loop.state.phase == "serving", "three suspects, each counted once"
    world.traffic(2, attack=True)
    loop.tick()
    assert loop.state.incidents == 1, "and none forgotten"


def test_a_restart_needs_no_record_that_was_read() -> None:
    """The tap drops its oldest records; the monitors' states do not depend on them."""
    world = a_world()
    loop = started(world)
    world.traffic(3, attack=True)
    loop.tick()
    world.records = [replace(record, p_benign=0.5) for record in world.records]
    world.traffic(2, attack=True)
    loop = started(world)
    loop.tick()
    assert loop.state.incidents == 1


@pytest.mark.parametrize("port", ["deployer", "pager", "ledger"])
def test_what_could_not_be_done_is_done_by_the_next_process(port: str) -> None:
    world = a_world()
    loop = started(world)
    world.down.add(port)
    world.traffic(5, attack=True)
    loop.tick()
    loop.tick()
    world.down.clear()
    loop = started(world)
    loop.tick()
    assert loop.fault == ""
    assert world.routing
    assert world.routing.mode == "contained"
    assert any(message.startswith("attack") for _, message in world.pages)
    assert any(entry.body.get("rule") == "HB-D001" for entry in world.entries.values())
    assert loop.state.phase == "hardening"


def test_what_followed_from_an_action_is_not_lost_to_a_full_disk() -> None:
    """The containment is in force, but that it is cannot be journalled yet."""
    world = a_world()

    def fill(turn: Turn) -> None:
        if turn.state.phase == "contained":
            world.down.add("journal")

    loop = Loop(
        "svc",
        rules=RULES,
        ports=world.ports(),
        watchers=Watchers(monitors=lambda _: (Streak(),), tally=lambda watch: Tally(watch=watch)),
        clock=lambda: world.now,
        on_turn=fill,
    )
    loop.start()
    world.traffic(5, attack=True)
    loop.tick()
    assert (loop.state.phase, loop.state.routing.mode) == ("contained", "contained")
    world.down.clear()
    loop.tick()
    assert loop.state.phase == "hardening"


def test_a_job_that_the_trainer_lost_is_given_to_it_again() -> None:
    world = a_world()
    loop = started(world)
    world.traffic(5, attack=True)
    loop.tick()
    jobs = dict(world.jobs)
    assert jobs
    world.jobs.clear()
    loop.tick()
    assert world.jobs == jobs


def test_a_candidate_that_was_rolled_back_is_not_signed_after_all() -> None:
    judgement = {
        "candidate": B,
        "verdict": "pass",
        "policy": digest("policy"),
        "decision": digest("decision"),
        "calibration": digest("cal ab"),
    }
    world = a_world()
    world.results = {
        "harden": JobStatus(state="done", result={"candidate": B}),
        "judge": JobStatus(state="done", result=judgement),
    }
    world.down.add("trust")
    loop = started(world)
    for number in range(5):
        world.traffic(5, attack=number == 0)
        loop.tick()
    assert loop.state.phase == "canary"
    assert world.routing
    assert world.routing.canary is None, "not before it is signed"
    loop.take(Rollback(at=world.now, by="ann", reason="odd", key="k"))
    world.down.clear()
    loop.tick()
    assert B not in world.signed
    assert list(world.revoked) == [B]
    assert (loop.state.phase, world.routing) == ("serving", normal(PAIR_A))
