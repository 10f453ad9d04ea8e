"""The runner over a world in memory: the whole way, faults, and what it enters and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hauberk.core.errors import ConfigError, DataError, EnvironmentFault
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.ports import JobStatus, Routing
from hauberk.core.spec import LoopSpec
from hauberk.loop.events import Alarm, Finding, Reviewed, Rollback
from hauberk.loop.lookout import Watchers
from hauberk.loop.moves import normal
from hauberk.loop.run import Loop
from hauberk.loop.state import Served
from hauberk.loop.timeline import timeline
from hauberk.loop.turns import Rival
from hauberk.testing.loop_fakes import Streak, Tally, World, digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.core.record import Record

A, TWIN_A, CAL_A = digest("a"), digest("twin a"), digest("cal a")
B, TWIN_B, CAL_AB, CAL_B = digest("b"), digest("twin b"), digest("cal ab"), digest("cal b")
PAIR_A = Served(primary=A, twin=TWIN_A, calibration=CAL_A)
PAIR_B = Served(primary=B, twin=TWIN_B, calibration=CAL_B)
RULES = LoopSpec(cooldown=0.0, canary_requests=6, post_requests=10, traffic_timeout=600.0)


def judgement(verdict: str = "pass") -> JobStatus:
    result = {
        "candidate": B,
        "verdict": verdict,
        "policy": digest("policy"),
        "decision": digest("decision"),
        "calibration": CAL_AB,
        "seconds": 3.5,
    }
    return JobStatus(state="done", result=result)


def a_world(results: dict[str, JobStatus] | None = None, **options: Any) -> World:
    good = {
        "harden": JobStatus(state="done", result={"candidate": B, "epochs": 3}),
        "judge": judgement(),
        "twin": JobStatus(state="done", result={"twin": TWIN_B, "calibration": CAL_B}),
    }
    results = good if results is None else results
    return World(routing=normal(PAIR_A), signed={A, TWIN_A}, results=results, **options)


def started(world: World, rules: LoopSpec = RULES) -> Loop:
    loop = world.loop("svc", rules)
    loop.start()
    return loop


def rounds(world: World, loop: Loop, n: int, *, attack: int = 0, size: int = 10) -> None:
    """``n`` rounds of traffic, the first ``attack`` of them attacked."""
    for number in range(n):
        world.traffic(size, attack=number < attack)
        world.now += 1.0
        loop.tick()


def test_the_whole_way() -> None:
    world = a_world()
    loop = started(world)
    rounds(world, loop, 3)
    assert loop.state.phase == "serving"
    rounds(world, loop, 20, attack=1)
    assert loop.fault == ""
    assert loop.state.phase == "serving"
    assert loop.state.served == PAIR_B
    assert world.routing == normal(PAIR_B)
    assert [job.kind for job in world.jobs.values()] == ["harden", "judge", "twin"]
    assert world.signed >= {B, TWIN_B}
    modes = [(routing.mode, routing.primary, routing.canary) for routing in world.routed]
    assert modes == [
        ("contained", A, None),
        ("contained", A, B),
        ("normal", B, None),
        ("normal", B, None),
    ]
    phases = [line.phase for line in timeline(world.turns)]
    assert phases == [
        "serving",
        "contained",
        "hardening",
        "judging",
        "canary",
        "checking",
        "pairing",
        "serving",
    ]
    kinds = [entry.kind for entry in world.entries.values()]
    assert kinds.count("deployment") == 4
    assert kinds.count("decision") == 1
    outcomes = [e.body.get("outcome") for e in world.entries.values() if e.kind == "incident"]
    assert outcomes == [None, "recovered"]


def test_the_containment_is_in_force_within_the_round_of_the_alarm() -> None:
    world = a_world()
    loop = started(world)
    world.traffic(5, attack=True)
    loop.tick()
    assert world.routed[0].mode == "contained"


def test_a_hundred_alarms_are_one_training() -> None:
    world = a_world(results={})
    loop = started(world)
    rounds(world, loop, 1, attack=1)
    finding = Finding(rule="HB-D001", subject=A, verdict=Verdict.FAIL, message="again")
    for number in range(100):
        event = Alarm(at=world.now, key=f"{A}:{1000 + number}", digest=A, finding=finding)
        assert loop.take(event)
        assert not loop.take(event), "the same alarm again"
        rounds(world, loop, 1, attack=1)
    assert loop.state.incidents == 1
    assert loop.state.incident
    assert loop.state.incident.alarms >= 101
    assert list(world.jobs) == [f"{loop.state.last}-harden"]


def test_further_incidents_stay_within_the_budget() -> None:
    world = a_world(results={"harden": JobStatus(state="failed", message="no")})
    loop = started(world, LoopSpec(max_trainings=2, window=10_000.0, cooldown=0.0))
    for number in range(4):
        rounds(world, loop, 3, attack=1)
        assert loop.state.incidents == number + 1
        loop.take(Rollback(at=world.now, by="ann", reason="again", key=f"k{number}"))
        assert loop.state.phase == "serving"
    assert len(world.jobs) == 2
    assert sum("held back" in message for _, message in world.pages) == 2


@pytest.mark.parametrize("verdict", ["fail", "unknown"])
def test_a_candidate_that_does_not_pass_is_never_routed(verdict: str) -> None:
    world = a_world()
    world.results["judge"] = judgement(verdict)
    loop = started(world)
    rounds(world, loop, 10, attack=1)
    assert loop.state.phase == "halted"
    assert world.routing
    assert world.routing.mode == "contained"
    assert B not in world.signed
    assert all(B not in (r.primary, r.canary, r.twin) for r in world.routed)


def test_a_canary_that_disagrees_is_revoked() -> None:
    world = a_world(disagree={B})
    loop = started(world)
    rounds(world, loop, 12, attack=1)
    assert loop.state.phase == "halted"
    assert list(world.revoked) == [B]
    assert world.routing
    assert (world.routing.mode, world.routing.canary) == ("contained", None)


def test_a_promoted_model_that_disagrees_is_rolled_back() -> None:
    world = a_world()
    loop = started(world)
    for _ in range(20):
        rounds(world, loop, 1, attack=1)
        if loop.state.phase == "checking":
            world.disagree.add(B)
    assert loop.state.phase == "halted"
    assert list(world.revoked) == [B]
    assert world.routing
    assert (world.routing.mode, world.routing.primary) == ("contained", A)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"candidate": 7},
        {"candidate": "../b"},
        {"candidate": B.upper()},
    ],
)
def test_a_malformed_result_is_a_failure(result: dict[str, Any]) -> None:
    world = a_world()
    world.results["harden"] = JobStatus(state="done", result=result)
    loop = started(world)
    rounds(world, loop, 4, attack=1)
    assert loop.state.phase == "halted"
    assert any("cannot be used" in message for _, message in world.pages)


def test_another_candidates_judgement_is_a_failure() -> None:
    world = a_world()
    world.results["judge"] = judgement()
    world.results["judge"].result["candidate"] = digest("c")
    loop = started(world)
    rounds(world, loop, 5, attack=1)
    assert loop.state.phase == "halted"


@pytest.mark.parametrize(
    "port", ["deployer", "trainer", "ledger", "journal", "trust", "pager", "records"]
)
def test_a_port_that_is_down_is_waited_for(port: str) -> None:
    world = a_world()
    loop = started(world)
    world.down.add(port)
    rounds(world, loop, 3, attack=3)
    if port != "trust":  # which is not needed yet
        assert "does not answer" in loop.fault
    world.down.clear()
    rounds(world, loop, 20, attack=2)
    assert loop.fault == ""
    assert loop.state.served == PAIR_B
    assert world.routing == normal(PAIR_B)
    assert loop.state.incidents == 1


def test_ports_that_flicker_lose_nothing() -> None:
    ports = ["deployer", "trainer", "ledger", "journal", "trust", "pager", "records"]
    world = a_world()
    loop = started(world)
    for number in range(80):
        world.down = {ports[number % 7], ports[(number // 7) % 7]}
        rounds(world, loop, 1, attack=number < 15)
    world.down = set()
    rounds(world, loop, 10)
    assert loop.state.served == PAIR_B
    assert world.routing == normal(PAIR_B)
    assert loop.state.incidents == 1
    assert len(world.jobs) == 3
    closed = [e for e in world.entries.values() if e.body.get("outcome")]
    assert [e.body["outcome"] for e in closed] == ["recovered"]


def test_an_unsigned_twin_is_refused_and_halts() -> None:
    world = a_world()
    loop = started(world)
    world.signed.discard(TWIN_A)
    rounds(world, loop, 3, attack=1)
    assert loop.state.phase == "halted"
    assert world.routed == []
    assert any("refused" in message for _, message in world.pages)


def test_a_twin_that_cannot_be_signed_closes_nothing() -> None:
    world = a_world()
    loop = started(world)
    world.revoked[TWIN_B] = "by another service"
    rounds(world, loop, 12, attack=1)
    assert loop.state.phase == "halted"
    assert all(TWIN_B not in (r.primary, r.twin) for r in world.routed)
    assert not [e for e in world.entries.values() if e.body.get("outcome")]
    assert not [e for e in world.entries.values() if e.body.get("rule") == "HB-L001"]


def test_a_late_containment_does_not_undo_a_rollback() -> None:
    """The gateway was away; what it is told at last is the newest routing, and that alone."""
    world = a_world()
    loop = started(world)
    world.down.add("deployer")
    rounds(world, loop, 2, attack=1)
    loop.take(Rollback(at=world.now, by="ann", reason="odd", key="k"))
    world.down.clear()
    rounds(world, loop, 2)
    assert [routing.mode for routing in world.routed] == []
    assert world.routing == normal(PAIR_A)
    deployments = [e for e in world.entries.values() if e.kind == "deployment"]
    assert [e.body["mode"] for e in deployments] == ["normal"]


def test_the_alarm_is_entered_even_if_the_containment_is_refused() -> None:
    world = a_world()
    loop = started(world)
    world.signed.discard(TWIN_A)
    rounds(world, loop, 2, attack=1)
    assert any(e.body.get("rule") == "HB-D001" for e in world.entries.values())


def test_a_dismissed_alarm_and_the_training_that_ends_later() -> None:
    world = a_world(results={})
    loop = started(world)
    rounds(world, loop, 2, attack=1)
    assert loop.state.incident
    event = Reviewed(
        at=world.now, incident=loop.state.incident.id, verdict="dismiss", reviewer="ann"
    )
    assert loop.take(event)
    assert not loop.take(event)
    assert world.routing == normal(PAIR_A)
    world.results["harden"] = JobStatus(state="done", result={"candidate": B})
    rounds(world, loop, 5)
    assert (loop.state.phase, loop.state.served) == ("serving", PAIR_A)


def test_a_command_that_cannot_be_journalled_was_not_taken() -> None:
    world = a_world()
    loop = started(world)
    world.down.add("journal")
    with pytest.raises(EnvironmentFault):
        loop.take(Rollback(at=world.now, by="ann", reason="odd", key="k"))
    world.down.clear()
    assert loop.take(Rollback(at=world.now, by="ann", reason="odd", key="k"))


def test_a_pending_training_dies_with_its_incident() -> None:
    world = a_world()
    loop = started(world)
    world.down.add("trainer")
    rounds(world, loop, 2, attack=1)
    assert loop.state.phase == "hardening"
    loop.take(Rollback(at=world.now, by="ann", reason="odd"))
    world.down.clear()
    rounds(world, loop, 3)
    assert world.jobs == {}
    assert world.routing == normal(PAIR_A)


class Drift:
    """A monitor that finds drift at its third record."""

    def __init__(self) -> None:
        self.seen = 0

    def update(self, record: Record, /) -> Evidence | None:
        self.seen += 1
        if self.seen != 3:
            return None
        return Evidence(
            rule="HB-D002",
            subject=record.digest,
            verdict=Verdict.FAIL,
            message="drift: brighter",
            value=float("inf"),
            interval=(0.5, float("inf")),
            spec={"odd": {1, 2}},
        )

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: Mapping[str, Any], /) -> None:
        self.seen = state["seen"]


def test_drift_is_entered_and_paged_but_is_no_alarm() -> None:
    world = a_world()
    loop = Loop(
        "svc",
        rules=RULES,
        ports=world.ports(),
        watchers=Watchers(
            monitors=lambda _: (Streak(), Drift()), tally=lambda watch: Tally(watch=watch)
        ),
        clock=lambda: world.now,
    )
    loop.start()
    rounds(world, loop, 4)
    assert (loop.state.phase, loop.state.incidents) == ("serving", 0)
    [entry] = world.entries.values()
    assert (entry.kind, entry.body["rule"], entry.body["value"]) == ("evidence", "HB-D002", None)
    assert [message for _, message in world.pages] == ["HB-D002: drift: brighter"]


def test_monitors_that_cannot_be_made_are_told_of() -> None:
    def broken(pair: Served) -> Any:
        raise DataError("no calibration", where=pair.primary)

    world = a_world()
    loop = Loop(
        "svc",
        rules=RULES,
        ports=world.ports(),
        watchers=Watchers(monitors=broken, tally=lambda watch: Tally(watch=watch)),
        clock=lambda: world.now,
    )
    loop.start()
    rounds(world, loop, 5)
    assert "no calibration" in loop.fault
    assert len(world.pages) == 1


def test_an_operators_new_model_is_adopted_from_the_traffic() -> None:
    world = a_world()
    loop = started(world)
    rounds(world, loop, 2)
    world.signed |= {B, TWIN_B}
    world.routing = normal(PAIR_B)
    rounds(world, loop, 2)
    assert loop.state.served == PAIR_B
    world.signed.add(digest("c"))
    rounds(world, loop, 2, attack=2)
    assert loop.state.incident, "and watched"


def test_an_operators_new_model_is_adopted_at_the_start() -> None:
    world = a_world()
    rounds(world, started(world), 2)
    world.signed |= {B, TWIN_B}
    world.routing = normal(PAIR_B)
    assert started(world).state.served == PAIR_B
    assert world.routing == normal(PAIR_B)


def test_without_a_model_there_is_no_loop() -> None:
    with pytest.raises(ConfigError, match="serves no model"):
        started(World(routing=None))


def test_a_journal_that_cannot_be_read_is_an_error() -> None:
    world = a_world()
    started(world)
    world.turns[-1] = b'{"at": 1}'
    with pytest.raises(DataError, match="turn 0"):
        started(world)


def test_a_snapshot_that_cannot_be_read_is_passed_over() -> None:
    world = a_world()
    rounds(world, started(world), 2)
    world.snapshot = b"\x00garbage"
    loop = started(world)
    rounds(world, loop, 15, attack=1)
    assert loop.state.served == PAIR_B


def test_two_loops_on_one_service_are_found_out() -> None:
    world = a_world()
    first, second = started(world), started(world)
    rounds(world, first, 1, attack=1)
    with pytest.raises(Rival, match="another process"):
        second.take(Rollback(at=world.now, by="ann", reason="odd", key="k"))


def test_new_rules_hold_from_the_next_start() -> None:
    world = a_world(results={})
    rounds(world, started(world, LoopSpec(contain="abstain")), 1)
    loop = started(world, LoopSpec(contain="twin"))
    rounds(world, loop, 1, attack=1)
    assert world.routing
    assert world.routing.mode == "contained"


def test_records_of_before_are_passed_over() -> None:
    """What the attacked model answered, read late, is no alarm on the pair that came after."""
    world = a_world()
    loop = started(world)
    rounds(world, loop, 15, attack=1)
    assert loop.state.served == PAIR_B
    in_force, world.routing = world.routing, normal(PAIR_A)
    world.traffic(20, attack=True)
    world.routing = in_force
    rounds(world, loop, 3)
    assert (loop.state.phase, loop.state.incidents) == ("serving", 1)


def test_run_ticks_until_it_is_told_to_stop() -> None:
    world = a_world()
    loop = started(world)
    answers = iter([False, False, True])
    world.traffic(5, attack=True)
    loop.run(lambda: next(answers))
    assert loop.state.phase != "serving"


def test_turns_are_told_of() -> None:
    world = a_world()
    phases: list[str] = []
    loop = Loop(
        "svc",
        rules=RULES,
        ports=world.ports(),
        watchers=Watchers(monitors=lambda _: (), tally=lambda watch: Tally(watch=watch)),
        clock=lambda: world.now,
        on_turn=lambda turn: phases.append(turn.state.phase),
    )
    with pytest.raises(ConfigError, match="not started"):
        _ = loop.state
    loop.start()
    assert phases == ["serving"]
    rounds(world, loop, 3)
    assert ["nothing watches" in message for _, message in world.pages] == [True]
    assert world.routing == Routing(primary=A, twin=TWIN_A, calibration=CAL_A)
