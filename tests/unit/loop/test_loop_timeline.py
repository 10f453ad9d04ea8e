"""The journal in words, and turns as lines of JSON."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from hauberk.core.errors import DataError
from hauberk.core.evidence import Evidence, Severity, Verdict
from hauberk.core.ports import Job, Routing
from hauberk.core.spec import LoopSpec
from hauberk.loop import actions, events
from hauberk.loop.budget import held_back, remaining
from hauberk.loop.moves import normal
from hauberk.loop.state import Served, begin
from hauberk.loop.timeline import line_of, say_action, say_event, timeline
from hauberk.loop.turns import Turn, decode
from hauberk.testing.loop_fakes import digest

A, B = digest("a"), digest("b")
ROUTING = Routing(primary=A, twin=B, mode="contained", canary=digest("c"), canary_share=0.25)
JOB = Job(id="svc-1-harden", kind="harden", incident="svc-1", inputs={"primary": A})
FOUND = events.Finding(rule="HB-D001", subject=A, verdict=Verdict.FAIL, message="9 nats")
EVENTS: tuple[events.Event, ...] = (
    events.Registered(at=1.0, routing=ROUTING),
    events.Alarm(at=1.0, key="k", digest=A, finding=FOUND),
    events.Contained(at=1.0, incident="svc-1"),
    events.Hardened(at=1.0, job=JOB.id, candidate=B),
    events.Failed(at=1.0, job=JOB.id, reason="no memory"),
    events.Judged(
        at=1.0, job=JOB.id, candidate=B, verdict=Verdict.PASS, policy=A, decision=A, evidence=(A,)
    ),
    events.CanaryOver(at=1.0, candidate=B, finding=FOUND),
    events.Checked(at=1.0, candidate=B, finding=FOUND),
    events.Paired(at=1.0, job=JOB.id, candidate=B, twin=A, calibration=A),
    events.Reviewed(at=1.0, incident="svc-1", verdict="dismiss", reviewer="ann"),
    events.Rollback(at=1.0, by="ann", reason="odd"),
    events.Refused(at=1.0, action="route", reason="HB-S002"),
    events.Tick(at=1.0),
)
ACTIONS: tuple[actions.Action, ...] = (
    actions.Contain(routing=ROUTING, key="k"),
    actions.Route(routing=normal(Served(primary=A)), key="k"),
    actions.Harden(job=JOB),
    actions.Judge(job=JOB),
    actions.Pair(job=JOB),
    actions.Sign(digest=A, role="twin", incident="svc-1", verdict=Verdict.UNKNOWN),
    actions.Revoke(digest=A, reason="odd"),
    actions.Page(incident="svc-1", message="look"),
    actions.Watch(kind="canary", digest=A, route="canary", requests=5, agreement=0.7),
    actions.Note(kind="evidence", subject=A, body={}, key="k"),
    actions.Close(incident="svc-1", outcome="recovered", body={}),
)
STATE = begin("svc", LoopSpec(), ROUTING)


def test_every_event_and_action_has_its_words() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(events.Event))
    assert {type(action) for action in ACTIONS} == set(get_args(actions.Action))
    assert len({say_event(event) for event in EVENTS}) == len(EVENTS)
    said = {say_action(action) for action in ACTIONS if action not in ACTIONS[3:5]}
    assert len(said) == len(ACTIONS) - 2


def test_a_routing_in_words() -> None:
    said = say_action(ACTIONS[0])
    assert "twin 3e23e8160039 answers for ca978112ca1b" in said
    assert said.endswith("canary 2e7d2c03a950 gets 25%")
    abstaining = actions.Route(routing=Routing(primary=A, mode="abstain"), key="k")
    assert "abstention" in say_action(abstaining)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_turns_come_back_as_they_went(event: events.Event) -> None:
    turn = Turn(at=1.0, event=event, state=STATE, actions=ACTIONS, since=7)
    text = msgspec.json.encode(turn)
    assert decode(text, 0) == turn
    assert timeline([text]) == [line_of(turn)]


@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 100_000, b"\xff", b"null"])
def test_what_is_no_turn_is_named(text: bytes) -> None:
    with pytest.raises(DataError, match="journal: turn 3"):
        decode(text, 3)


def test_evidence_becomes_a_plain_finding() -> None:
    evidence = Evidence(
        rule="HB-D001",
        subject=A,
        verdict=Verdict.FAIL,
        message="m",
        value=float("nan"),
        interval=(0.0, float("inf")),
        severity=Severity.CRITICAL,
        atlas=("AML.T0015",),
        spec={"n": 3, "odd": object},
    )
    finding = events.Finding.of(evidence)
    assert (finding.value, finding.interval) == (None, (0.0, None))
    assert (finding.severity, finding.atlas) == (Severity.CRITICAL, ("AML.T0015",))
    assert finding.spec["n"] == 3
    assert msgspec.json.decode(msgspec.json.encode(finding), type=events.Finding) == finding


@pytest.mark.parametrize(
    ("starts", "at", "held"),
    [
        ((), 0.0, False),
        ((0.0,), 9.9, True),
        ((0.0,), 10.0, False),
        ((0.0, 50.0), 60.0, True),
        ((0.0, 50.0), 100.0, False),
        ((500.0,), 0.0, True),  # a clock that went back
    ],
)
def test_the_budget(starts: tuple[float, ...], at: float, *, held: bool) -> None:
    rules = LoopSpec(max_trainings=2, window=100.0, cooldown=10.0)
    assert bool(held_back(starts, rules, at)) is held


def test_starts_that_still_count_are_kept() -> None:
    rules = LoopSpec(window=100.0, cooldown=300.0)
    assert remaining((0.0, 150.0, 390.0), rules, 400.0) == (150.0, 390.0)
