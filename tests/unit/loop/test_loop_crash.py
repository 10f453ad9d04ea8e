"""Killed at any port call, before or after it took effect: the same end, by one training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.core.ports import JobStatus
from hauberk.core.spec import LoopSpec
from hauberk.loop.events import Rollback
from hauberk.loop.moves import normal
from hauberk.loop.state import Served
from hauberk.loop.timeline import timeline
from hauberk.testing.loop_fakes import Fuse, Killed, World, digest

if TYPE_CHECKING:
    from hauberk.loop.run import Loop

A, TWIN_A, CAL_A = digest("a"), digest("twin a"), digest("cal a")
B, TWIN_B, CAL_AB, CAL_B = digest("b"), digest("twin b"), digest("cal ab"), digest("cal b")
PAIR_A = Served(primary=A, twin=TWIN_A, calibration=CAL_A)
PAIR_B = Served(primary=B, twin=TWIN_B, calibration=CAL_B)
RULES = LoopSpec(cooldown=0.0, canary_requests=6, post_requests=10)
ROUNDS = 16


def a_world(fuse: Fuse, verdict: str) -> World:
    judgement = {
        "candidate": B,
        "verdict": verdict,
        "policy": digest("policy"),
        "decision": digest("decision"),
        "calibration": CAL_AB,
    }
    return World(
        routing=normal(PAIR_A),
        signed={A, TWIN_A},
        fuse=fuse,
        results={
            "harden": JobStatus(state="done", result={"candidate": B}),
            "judge": JobStatus(state="done", result=judgement),
            "twin": JobStatus(state="done", result={"twin": TWIN_B, "calibration": CAL_B}),
        },
    )


def live(world: World, *, back: bool = False) -> Loop:
    """Rounds of traffic; a process that dies is started anew at once."""
    loop: Loop | None = None
    number, sent = 0, False
    while number < ROUNDS:
        if not sent:
            world.traffic(10, attack=number == 2)
            world.now += 1.0
            sent = True
        try:
            if loop is None:
                fresh = world.loop("svc", RULES)
                fresh.start()
                loop = fresh
            if back and number == ROUNDS - 2:
                loop.take(Rollback(at=world.now, by="ann", reason="odd", key="once"))
            loop.tick()
        except Killed:
            loop = None
            continue
        number, sent = number + 1, False
    assert loop
    return loop


def calls(verdict: str, *, back: bool) -> int:
    world = a_world(Fuse(), verdict)
    live(world, back=back)
    return world.fuse.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("verdict", "back"),
    [("pass", False), ("fail", False), ("pass", True)],
    ids=["recovers", "halts", "is rolled back"],
)
def test_killed_at_each_port_call(verdict: str, *, back: bool, after: bool) -> None:
    whole = a_world(Fuse(), verdict)
    end = live(whole, back=back).state
    assert end.phase == ("serving" if verdict == "pass" else "halted")
    for at in range(1, whole.fuse.calls + 1):
        world = a_world(Fuse(at=at, after=after), verdict)
        loop = live(world, back=back)
        assert world.fuse.calls > at, "it was killed, and went on"
        assert loop.fault == ""
        assert loop.state.phase == end.phase, at
        assert (loop.state.served, loop.state.revoked) == (end.served, end.revoked), at
        assert world.routing == whole.routing, at
        assert world.jobs == whole.jobs, at
        assert world.signed == whole.signed, at
        assert world.revoked == whole.revoked, at
        assert set(world.entries) == set(whole.entries), at
        assert {message for _, message in world.pages} == {m for _, m in whole.pages}, at
        phases = [line.phase for line in timeline(world.turns)]
        assert phases == [line.phase for line in timeline(whole.turns)], at
        allowed = {A, TWIN_A, TWIN_B} | ({B} if verdict == "pass" else set())
        for routing in world.routed:
            assert {routing.primary, routing.twin, routing.canary} - {None} <= allowed


def test_there_are_many_places_to_die() -> None:
    assert calls("pass", back=True) > 60


def test_killed_again_and_again() -> None:
    """A process that never lives longer than a few calls still gets there."""
    world = a_world(Fuse(at=25), "pass")
    loop: Loop | None = None
    for number in range(400):
        if number % 4 == 0:
            world.traffic(10, attack=number < 12)
        try:
            if loop is None:
                loop = world.loop("svc", RULES)
                loop.start()
            loop.tick()
        except Killed:
            loop, world.fuse = None, Fuse(at=25)
    assert world.routing == normal(PAIR_B)
    assert [job.kind for job in world.jobs.values()] == ["harden", "judge", "twin"]
