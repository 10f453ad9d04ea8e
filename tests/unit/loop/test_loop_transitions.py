"""Each transition of the machine: the phase after it and what it orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from hauberk.core.evidence import Verdict
from hauberk.core.ports import Routing
from hauberk.core.spec import LoopSpec
from hauberk.loop.actions import (
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
    Finding,
    Hardened,
    Judged,
    Paired,
    Refused,
    Registered,
    Reviewed,
    Rollback,
    Tick,
)
from hauberk.loop.machine import step
from hauberk.loop.moves import normal
from hauberk.loop.state import Served, State, begin
from hauberk.testing.loop_fakes import digest

if TYPE_CHECKING:
    from hauberk.loop.moves import Result

A, TWIN_A, CAL_A = digest("a"), digest("twin a"), digest("cal a")
B, TWIN_B, CAL_AB, CAL_B = digest("b"), digest("twin b"), digest("cal ab"), digest("cal b")
C = digest("c")
PAIR_A = Served(primary=A, twin=TWIN_A, calibration=CAL_A)
PAIR_AB = Served(primary=B, twin=TWIN_A, calibration=CAL_AB)
PAIR_B = Served(primary=B, twin=TWIN_B, calibration=CAL_B)
RULES = LoopSpec(
    max_trainings=2, window=1000.0, cooldown=100.0, canary_share=0.3, traffic_timeout=60.0
)


def found(verdict: Verdict = Verdict.PASS) -> Finding:
    return Finding(rule="HB-D004", subject=B, verdict=verdict, message="3 of 4 agree")


def alarm(key: str = "k", at: float = 10.0, of: str = A) -> Alarm:
    attack = Finding(rule="HB-D001", subject=of, verdict=Verdict.FAIL, message="9 nats")
    return Alarm(at=at, key=key, digest=of, finding=attack)


def judged(verdict: Verdict = Verdict.PASS, **changes: Any) -> Judged:
    event = Judged(
        at=13.0,
        job="",
        candidate=B,
        verdict=verdict,
        policy=digest("policy"),
        decision=digest("decision"),
        calibration=CAL_AB,
    )
    return replace(event, **changes)


def fit(state: State, event: Event) -> Event:
    """Give an event the open incident's id and its job's."""
    incident = state.incident
    if incident and getattr(event, "incident", None) == "":
        event = replace(event, incident=incident.id)
    if incident and incident.job and getattr(event, "job", None) == "":
        event = replace(event, job=incident.job.id)
    return event


WAY: list[Event] = [
    alarm(),
    Contained(at=11.0, incident=""),
    Hardened(at=12.0, job="", candidate=B),
    judged(),
    CanaryOver(at=14.0, candidate=B, finding=found()),
    Checked(at=15.0, candidate=B, finding=found()),
    Paired(at=16.0, job="", candidate=B, twin=TWIN_B, calibration=CAL_B),
]
PHASES = ["serving", "contained", "hardening", "judging", "canary", "checking", "pairing"]


def at_phase(phase: str, pair: Served = PAIR_A, rules: LoopSpec = RULES) -> State:
    """The state after the good way as far as the phase."""
    state = begin("svc", rules, normal(pair))
    for event in WAY[: PHASES.index(phase)]:
        state, _ = step(state, fit(state, event))
    assert state.phase == phase
    return state


def go(phase: str, event: Event, **options: Any) -> Result:
    state = at_phase(phase, **options)
    return step(state, fit(state, event))


def of(kind: type, result: Result) -> list[Any]:
    return [action for action in result[1] if isinstance(action, kind)]


def incident_of(state: State) -> str:
    assert state.incident
    return state.incident.id


def test_an_alarm_contains_by_the_twin_and_pages() -> None:
    state, actions = result = go("serving", alarm())
    assert state.phase == "contained"
    routing = Routing(
        primary=A,
        twin=TWIN_A,
        calibration=CAL_A,
        mode="contained",
        incident=incident_of(state),
    )
    assert isinstance(actions[0], Contain), "the containment comes first"
    assert actions[0].routing == routing == state.routing
    [page] = of(Page, result)
    assert "9 nats" in page.message
    assert [note.kind for note in of(Note, result)] == ["incident", "evidence"]


@pytest.mark.parametrize(
    ("pair", "contain"),
    [(PAIR_A, "abstain"), (Served(primary=A), "twin"), (Served(primary=A), "abstain")],
)
def test_without_a_twin_or_by_policy_it_abstains(pair: Served, contain: Any) -> None:
    state, _ = go("serving", alarm(), pair=pair, rules=replace(RULES, contain=contain))
    assert state.routing.mode == "abstain"
    assert state.routing.primary == A


def test_alarms_join_the_open_incident() -> None:
    for phase in PHASES[1:]:
        state, actions = go(phase, alarm("other"))
        assert state.phase == phase
        assert actions == ()
        assert state.incident
        assert state.incident.alarms == 2


def test_an_alarm_of_another_pair_or_a_known_key_changes_nothing() -> None:
    state = at_phase("serving")
    assert step(state, alarm(of=C)) == (state, ())
    dismissal = Reviewed(at=12.0, incident="", verdict="dismiss", reviewer="ann")
    done, _ = go("contained", dismissal)
    assert done.phase == "serving"
    assert step(done, alarm()) == (done, ())


def test_containment_starts_one_training() -> None:
    state, _ = result = go("contained", Contained(at=11.0, incident=""))
    assert state.phase == "hardening"
    [harden] = of(Harden, result)
    assert harden.job.id == f"{incident_of(state)}-harden"
    assert harden.job.inputs == {"primary": A}
    assert state.trainings == (11.0,)
    [note] = of(Note, result)
    assert note.body["rule"] == "HB-L002"


@pytest.mark.parametrize(
    ("trainings", "free_at", "word"),
    [((5.0, 6.0), 1005.0, "within 1000 s"), ((5.0,), 105.0, "100 s ago")],
)
def test_the_budget_holds_a_training_back_once_told(
    trainings: tuple[float, ...], free_at: float, word: str
) -> None:
    state = replace(at_phase("contained"), trainings=trainings)
    state, actions = step(state, Contained(at=11.0, incident=incident_of(state)))
    assert state.phase == "contained"
    [page] = actions
    assert isinstance(page, Page)
    assert word in page.message
    assert step(state, Tick(at=free_at - 1.0)) == (state, ())
    started = step(state, Tick(at=free_at))
    assert started[0].phase == "hardening"
    assert len(of(Harden, started)) == 1


def test_a_tick_starts_nothing_before_the_containment_is_in_force() -> None:
    state = at_phase("contained")
    assert step(state, Tick(at=9999.0)) == (state, ())


def test_a_candidate_is_judged_beside_the_twin() -> None:
    state, _ = result = go("hardening", Hardened(at=12.0, job="", candidate=B))
    [judge] = of(Judge, result)
    assert state.phase == "judging"
    assert judge.job.id == f"{incident_of(state)}-judge"
    assert judge.job.inputs == {"primary": A, "candidate": B, "twin": TWIN_A}


@pytest.mark.parametrize("candidate", [A, TWIN_A])
def test_a_training_that_gives_a_known_model_halts(candidate: str) -> None:
    state, _ = result = go("hardening", Hardened(at=12.0, job="", candidate=candidate))
    assert state.phase == "halted"
    assert not of(Judge, result)


def test_a_training_that_gives_a_revoked_model_halts() -> None:
    state = replace(at_phase("hardening"), revoked=(B,))
    state, actions = step(state, fit(state, Hardened(at=12.0, job="", candidate=B)))
    assert state.phase == "halted"
    assert not of(Judge, (state, actions))


@pytest.mark.parametrize("phase", ["hardening", "judging"])
def test_a_failed_job_halts_with_the_twin_in_service(phase: str) -> None:
    state, _ = result = go(phase, Failed(at=13.0, job="", reason="out of memory"))
    assert state.phase == "halted"
    assert state.routing.mode == "contained"
    assert not of(Route, result)
    [page] = of(Page, result)
    assert "out of memory" in page.message


def test_a_pass_signs_and_then_routes_the_canary() -> None:
    state, actions = result = go("judging", judged())
    assert state.phase == "canary"
    [sign], [route], [watch] = of(Sign, result), of(Route, result), of(Watch, result)
    assert actions.index(sign) < actions.index(route)
    assert (sign.digest, sign.role, sign.verdict) == (B, "primary", Verdict.PASS)
    assert (sign.policy, sign.decision) == (digest("policy"), digest("decision"))
    assert route.routing == replace(
        at_phase("judging").routing, canary=B, canary_share=RULES.canary_share
    )
    assert (watch.kind, watch.digest, watch.route) == ("canary", B, "canary")
    assert watch.requests == RULES.canary_requests


@pytest.mark.parametrize(
    "event",
    [judged(Verdict.FAIL), judged(Verdict.UNKNOWN), judged(calibration=None)],
)
def test_anything_but_a_pass_halts_and_is_never_routed(event: Judged) -> None:
    state, _ = result = go("judging", event)
    assert state.phase == "halted"
    assert not of(Route, result)
    assert not of(Sign, result)
    assert state.routing == at_phase("judging").routing
    assert len(of(Page, result)) == 1


def test_a_canary_that_holds_is_promoted_with_the_old_twin() -> None:
    state, _ = result = go("canary", WAY[4])
    assert state.phase == "checking"
    [route], [watch] = of(Route, result), of(Watch, result)
    assert route.routing == normal(PAIR_AB, incident_of(state))
    assert (watch.kind, watch.route) == ("check", "primary")
    assert watch.requests == RULES.post_requests


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        ("canary", CanaryOver(at=14.0, candidate=B, finding=found(Verdict.FAIL))),
        ("checking", Checked(at=15.0, candidate=B, finding=found(Verdict.FAIL))),
    ],
)
def test_a_candidate_that_fails_on_traffic_is_taken_back_and_revoked(
    phase: str, event: Event
) -> None:
    state, _ = result = go(phase, event)
    assert state.phase == "halted"
    [route], [revoke] = of(Route, result), of(Revoke, result)
    assert route.routing == at_phase("judging").routing
    assert revoke.digest == B
    assert state.revoked == (B,)
    assert state.served == PAIR_A
    assert len(of(Page, result)) == 1


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        ("canary", CanaryOver(at=14.0, candidate=B, finding=found(Verdict.UNKNOWN))),
        ("checking", Checked(at=15.0, candidate=B, finding=found(Verdict.UNKNOWN))),
        ("canary", Tick(at=13.0 + 60.0)),
        ("checking", Tick(at=14.0 + 60.0)),
    ],
)
def test_no_evidence_is_no_pass_but_revokes_nothing(phase: str, event: Event) -> None:
    state, _ = result = go(phase, event)
    assert state.phase == "halted"
    assert of(Route, result)[0].routing == at_phase("judging").routing
    assert not of(Revoke, result)
    assert state.revoked == ()


@pytest.mark.parametrize(("phase", "since"), [("canary", 13.0), ("checking", 14.0)])
def test_traffic_has_its_time(phase: str, since: float) -> None:
    state = at_phase(phase)
    assert step(state, Tick(at=since + 59.9)) == (state, ())


def test_a_check_that_holds_asks_for_a_twin_of_another_seed() -> None:
    state, _ = result = go("checking", WAY[5])
    [pair] = of(Pair, result)
    assert state.phase == "pairing"
    assert pair.job.inputs == {"primary": B, "candidate": B}
    [harden] = of(Harden, go("contained", WAY[1]))
    assert pair.job.seed != harden.job.seed


def test_the_new_pair_closes_the_incident() -> None:
    state, actions = result = go("pairing", WAY[6])
    assert (state.phase, state.incident, state.served) == ("serving", None, PAIR_B)
    [sign], [route], [close] = of(Sign, result), of(Route, result), of(Close, result)
    assert (sign.digest, sign.role) == (TWIN_B, "twin")
    assert actions.index(sign) < actions.index(route) < actions.index(close)
    assert route.routing == normal(PAIR_B)
    assert close.outcome == "recovered"
    assert (close.body["before"], close.body["after"]) == (A, B)
    assert state.past == (PAIR_A,)


@pytest.mark.parametrize(
    "event",
    [
        Failed(at=16.0, job="", reason="no memory"),
        Paired(at=16.0, job="", candidate=B, twin=B, calibration=CAL_B),
        Paired(at=16.0, job="", candidate=B, twin=A, calibration=CAL_B),
    ],
)
def test_without_a_new_twin_the_service_is_recovered_all_the_same(event: Event) -> None:
    state, _ = result = go("pairing", event)
    assert (state.phase, state.served) == ("serving", PAIR_AB)
    [close], [page] = of(Close, result), of(Page, result)
    assert close.outcome == "recovered-old-twin"
    assert "twin" in page.message
    assert of(Route, result)[0].routing == normal(PAIR_AB)


@pytest.mark.parametrize("phase", PHASES[1:])
def test_a_dismissed_alarm_leaves_the_service_as_it_was(phase: str) -> None:
    event = Reviewed(at=20.0, incident="", verdict="dismiss", reviewer="ann")
    state, _ = result = go(phase, event)
    assert (state.phase, state.served, state.incident) == ("serving", PAIR_A, None)
    assert of(Route, result)[0].routing == normal(PAIR_A)
    assert not of(Revoke, result)
    assert of(Close, result)[0].outcome == "dismissed"
    for late in WAY[2:]:
        before = at_phase(phase)
        assert step(state, fit(before, late)) == (state, ())


def test_a_confirmation_is_kept_once() -> None:
    event = Reviewed(at=20.0, incident="", verdict="confirm", reviewer="ann")
    state, _ = result = go("hardening", event)
    assert state.phase == "hardening"
    assert state.incident
    assert state.incident.confirmed_by == "ann"
    assert len(of(Note, result)) == 1
    assert step(state, fit(state, event)) == (state, ())


@pytest.mark.parametrize(
    ("phase", "revoked"),
    [
        ("contained", []),
        ("hardening", []),
        ("judging", []),
        ("canary", [B]),
        ("checking", [B]),
        ("pairing", [B]),
    ],
)
def test_a_rollback_in_an_incident(phase: str, revoked: list[str]) -> None:
    state, _ = result = go(phase, Rollback(at=30.0, by="ann", reason="odd"))
    assert (state.phase, state.served, state.incident) == ("serving", PAIR_A, None)
    assert of(Route, result)[0].routing == normal(PAIR_A)
    assert [action.digest for action in of(Revoke, result)] == revoked
    assert of(Close, result)[0].outcome == "rolled-back"


def test_a_rollback_leaves_halted() -> None:
    halted, _ = go("judging", judged(Verdict.FAIL))
    state, _ = result = step(halted, Rollback(at=30.0, by="ann", reason="odd"))
    assert (state.phase, state.served) == ("serving", PAIR_A)
    assert of(Route, result)[0].routing == normal(PAIR_A)


def test_a_rollback_after_the_incident_revokes_what_was_promoted() -> None:
    healed, _ = go("pairing", WAY[6])
    command = Rollback(at=30.0, by="ann", reason="odd", key="once")
    state, _ = result = step(healed, command)
    assert (state.served, state.past, state.revoked) == (PAIR_A, (), (B,))
    assert of(Route, result)[0].routing == normal(PAIR_A)
    assert [action.digest for action in of(Revoke, result)] == [B]
    assert step(state, command) == (state, ()), "the same command again"
    again, actions = step(state, replace(command, key="twice"))
    assert again.served == PAIR_A
    assert [type(action) for action in actions] == [Page], "nothing earlier to go back to"


def test_a_rollback_passes_over_what_was_revoked() -> None:
    state = replace(
        at_phase("serving"),
        served=Served(primary=C),
        past=(PAIR_A, PAIR_B),
        revoked=tuple(sorted([B, TWIN_A])),
    )
    state, _ = step(state, Rollback(at=30.0, by="ann", reason="odd"))
    assert state.served == Served(primary=A), "its twin was revoked"
    assert state.past == ()


def test_a_rollback_never_routes_what_it_revokes() -> None:
    """An operator may have put an earlier pair's twin into service as the primary."""
    state = replace(at_phase("serving"), served=Served(primary=TWIN_A), past=(PAIR_A,))
    state, actions = step(state, Rollback(at=30.0, by="ann", reason="odd"))
    assert state.served == Served(primary=A)
    assert [action.digest for action in of(Revoke, (state, actions))] == [TWIN_A]


def test_what_was_revoked_is_not_adopted() -> None:
    state = replace(at_phase("serving"), revoked=(C,))
    for pair in (Served(primary=C), Served(primary=B, twin=C, calibration=CAL_B)):
        after, actions = step(state, Registered(at=20.0, routing=normal(pair)))
        assert (after.phase, after.served, after.routing) == ("halted", PAIR_A, state.routing)
        assert len(of(Page, (after, actions))) == 1


@pytest.mark.parametrize("phase", ["contained", "hardening", "judging"])
def test_a_refusal_halts(phase: str) -> None:
    state, _ = result = go(phase, Refused(at=20.0, action="route", reason="HB-S002"))
    assert state.phase == "halted"
    assert not of(Route, result)
    assert "HB-S002" in of(Page, result)[0].message
    assert step(state, Refused(at=20.0, action="route", reason="HB-S002")) == (state, ())


@pytest.mark.parametrize("phase", ["canary", "checking", "pairing"])
def test_a_refusal_takes_the_candidate_back(phase: str) -> None:
    state, _ = result = go(phase, Refused(at=20.0, action="route", reason="HB-S002"))
    assert (state.phase, state.served) == ("halted", PAIR_A)
    assert of(Route, result)[0].routing == at_phase("judging").routing
    assert not of(Revoke, result)


def test_a_refusal_outside_of_an_incident_halts_until_a_rollback() -> None:
    state, _ = go("serving", Refused(at=20.0, action="route", reason="HB-S002"))
    assert (state.phase, state.incident) == ("halted", None)
    assert step(state, alarm("new")) == (state, ())
    state, actions = step(state, Rollback(at=30.0, by="ann", reason="odd"))
    assert state.phase == "serving"
    assert of(Route, (state, actions))[0].routing == normal(PAIR_A)


def test_an_operators_routing_is_adopted_when_nothing_is_open() -> None:
    event = Registered(at=20.0, routing=normal(Served(primary=C)))
    state, actions = go("serving", event)
    assert (state.served, state.past, actions) == (Served(primary=C), (PAIR_A,), ())
    for phase in PHASES[1:]:
        before = at_phase(phase)
        assert step(before, event) == (before, ())


def test_an_unknown_incident_of_the_gateway_halts() -> None:
    event = Registered(at=20.0, routing=replace(normal(PAIR_A), mode="contained"))
    state, _ = result = go("serving", event)
    assert state.phase == "halted"
    assert len(of(Page, result)) == 1


STALE: list[Event] = [
    Contained(at=50.0, incident="other"),
    Hardened(at=50.0, job="other", candidate=C),
    Failed(at=50.0, job="other", reason="r"),
    judged(job="other"),
    CanaryOver(at=50.0, candidate=C, finding=found()),
    Checked(at=50.0, candidate=C, finding=found()),
    Paired(at=50.0, job="other", candidate=B, twin=C, calibration=CAL_B),
    Reviewed(at=50.0, incident="other", verdict="dismiss", reviewer="ann"),
]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("event", STALE, ids=lambda event: type(event).__name__)
def test_stale_events_change_nothing(phase: str, event: Event) -> None:
    state = at_phase(phase)
    assert step(state, event) == (state, ())


@pytest.mark.parametrize("number", range(1, 7))
def test_events_out_of_turn_change_nothing(number: int) -> None:
    for phase in PHASES:
        state = at_phase(phase)
        if phase != PHASES[number]:
            assert step(state, fit(state, WAY[number])) == (state, ())


def test_one_judged_for_another_candidate_changes_nothing() -> None:
    state = at_phase("judging")
    assert step(state, fit(state, judged(candidate=C))) == (state, ())


def test_names_fit_a_jobs_id_and_stay_apart() -> None:
    names = {begin(name, RULES, normal(PAIR_A)).name for name in ("Ped 1", "ped-1", "ped/1", "é")}
    assert len(names) == 4
    for name in ("Ped 1", "x" * 300, "é"):
        state = begin(name, RULES, normal(PAIR_A))
        state, _ = step(state, alarm())
        state, actions = step(state, Contained(at=11.0, incident=incident_of(state)))
        [harden] = of(Harden, (state, actions))
        assert len(harden.job.id) <= 80
        assert set(harden.job.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
