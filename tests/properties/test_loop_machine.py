"""Whatever happens, in any order: what the machine may never do."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hauberk.core.evidence import Verdict
from hauberk.core.spec import LoopSpec
from hauberk.loop.actions import Contain, Harden, Revoke, Route, Sign
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
    from hauberk.core.ports import Routing

DIGESTS = [digest(name) for name in "abcdefghijklmnop"]
digests = st.sampled_from(DIGESTS)
verdicts = st.sampled_from(list(Verdict))
# Mostly what fits, so that runs get far; sometimes anything.
fits = st.integers(0, 9).map(lambda n: n > 0)


def finding(verdict: Verdict) -> Finding:
    return Finding(rule="HB-D004", subject="s", verdict=verdict, message="m")


class LoopMachine(RuleBasedStateMachine):
    """Random events against a plain account of what was registered, judged and revoked."""

    state: State

    @initialize(
        twin=st.booleans(),
        contain=st.sampled_from(["twin", "abstain"]),
        most=st.integers(1, 3),
        cooldown=st.sampled_from([0.0, 50.0, 500.0]),
    )
    def setup(self, twin: bool, contain: Any, most: int, cooldown: float) -> None:
        self.limits = LoopSpec(
            contain=contain, max_trainings=most, window=300.0, cooldown=cooldown, traffic_timeout=90
        )
        pair = Served(
            primary=DIGESTS[0],
            twin=DIGESTS[1] if twin else None,
            calibration=digest("k") if twin else None,
        )
        self.state = begin("svc", self.limits, normal(pair))
        self.allowed = {DIGESTS[0], *([DIGESTS[1]] if twin else [])}
        self.revoked: set[str] = set()
        self.trainings: list[tuple[float, str]] = []
        self.at, self.keys = 1000.0, 0

    def feed(self, event: Event) -> None:
        before = self.state
        state, actions = step(before, event)
        assert step(before, event) == (state, actions)
        assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state
        if isinstance(event, Judged) and event.verdict is Verdict.PASS:
            job = before.incident.job if before.incident else None
            if before.phase == "judging" and job and job.id == event.job:
                assert before.incident is not None
                if event.candidate == before.incident.candidate:
                    self.allowed.add(event.candidate)
        for action in actions:
            if isinstance(action, Sign) and action.role == "twin":
                self.allowed.add(action.digest)
            if isinstance(action, Sign) and action.role == "primary":
                assert action.digest in self.allowed
            if isinstance(action, Revoke):
                self.revoked.add(action.digest)
            if isinstance(action, Harden):
                self.trainings.append((event.at, action.job.incident))
        for action in actions:
            if isinstance(action, Route | Contain):
                self.check(action.routing)
                assert action.routing == state.routing
        self.state = state

    def check(self, routing: Routing) -> None:
        named = {d for d in (routing.primary, routing.twin, routing.canary) if d}
        assert named <= self.allowed, "something unjudged is routed"
        assert not named & self.revoked, "something revoked is routed"
        assert routing.mode != "contained" or routing.twin
        assert routing.twin or not routing.calibration

    def job(self, fit: bool, kind: str) -> str:
        incident = self.state.incident
        return incident.job.id if fit and incident and incident.job else f"other-{kind}"

    def candidate(self, fit: bool, other: str) -> str:
        incident = self.state.incident
        return incident.candidate if fit and incident and incident.candidate else other

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, 100.0, 400.0]))
    def tick(self, seconds: float) -> None:
        self.at += seconds
        self.feed(Tick(at=self.at))

    @rule(fit=fits, repeat=fits, other=digests)
    def alarm(self, fit: bool, repeat: bool, other: str) -> None:
        self.keys += repeat
        subject = self.state.served.primary if fit else other
        key = f"{subject}:{self.keys}"
        self.feed(Alarm(at=self.at, key=key, digest=subject, finding=finding(Verdict.FAIL)))

    @rule(steps=st.integers(1, 7), candidate=digests, twin=digests)
    def go_right(self, steps: int, candidate: str, twin: str) -> None:
        """Some steps on the good way, so that runs get far."""
        for _ in range(steps):
            self.step_right(candidate, twin)

    def step_right(self, candidate: str, twin: str) -> None:
        match self.state.phase:
            case "serving":
                self.alarm(fit=True, repeat=True, other=candidate)
            case "contained":
                self.at += 100.0
                self.contained(fit=True)
            case "hardening":
                self.hardened(fit=True, candidate=candidate)
            case "judging":
                self.judged(fit=True, other=candidate, verdict=Verdict.PASS, calibrated=True)
            case "canary":
                self.canary_over(fit=True, other=candidate, verdict=Verdict.PASS)
            case "checking":
                self.checked(fit=True, other=candidate, verdict=Verdict.PASS)
            case "pairing":
                self.paired(fit=True, other=candidate, twin=twin)

    @rule(fit=fits)
    def contained(self, fit: bool) -> None:
        incident = self.state.incident
        self.feed(Contained(at=self.at, incident=incident.id if fit and incident else "x"))

    @rule(fit=fits, candidate=digests)
    def hardened(self, fit: bool, candidate: str) -> None:
        self.feed(Hardened(at=self.at, job=self.job(fit, "harden"), candidate=candidate))

    @rule(fit=fits)
    def failed(self, fit: bool) -> None:
        self.feed(Failed(at=self.at, job=self.job(fit, "x"), reason="r"))

    @rule(fit=fits, other=digests, verdict=verdicts, calibrated=fits)
    def judged(self, fit: bool, other: str, verdict: Verdict, calibrated: bool) -> None:
        event = Judged(
            at=self.at,
            job=self.job(fit, "judge"),
            candidate=self.candidate(fit, other),
            verdict=verdict,
            policy=digest("p"),
            decision=digest("d"),
            calibration=digest("k2") if calibrated else None,
        )
        self.feed(event)

    @rule(fit=fits, other=digests, verdict=verdicts)
    def canary_over(self, fit: bool, other: str, verdict: Verdict) -> None:
        one = self.candidate(fit, other)
        self.feed(CanaryOver(at=self.at, candidate=one, finding=finding(verdict)))

    @rule(fit=fits, other=digests, verdict=verdicts)
    def checked(self, fit: bool, other: str, verdict: Verdict) -> None:
        one = self.candidate(fit, other)
        self.feed(Checked(at=self.at, candidate=one, finding=finding(verdict)))

    @rule(fit=fits, other=digests, twin=digests)
    def paired(self, fit: bool, other: str, twin: str) -> None:
        event = Paired(
            at=self.at,
            job=self.job(fit, "twin"),
            candidate=self.candidate(fit, other),
            twin=twin,
            calibration=digest("k3"),
        )
        self.feed(event)

    @rule(dismiss=st.booleans())
    def reviewed(self, dismiss: bool) -> None:
        incident = self.state.incident
        event = Reviewed(
            at=self.at,
            incident=incident.id if incident else "x",
            verdict="dismiss" if dismiss else "confirm",
            reviewer="ann",
        )
        self.feed(event)

    @rule(key=st.sampled_from(["", "k1", "k2", "k3"]))
    def rollback(self, key: str) -> None:
        self.feed(Rollback(at=self.at, by="ann", reason="r", key=key))

    @rule(really=st.integers(0, 3))
    def refused(self, really: int) -> None:
        if really == 0:
            self.feed(Refused(at=self.at, action="route", reason="r"))

    @rule(primary=digests, twin=st.none() | digests)
    def registered(self, primary: str, twin: str | None) -> None:
        """An operator's gateway takes only what is signed; so it is allowed from here on."""
        named = {d for d in (primary, twin) if d}
        if self.state.phase != "serving" or named & self.revoked or primary == twin:
            return
        self.allowed |= named
        pair = Served(primary=primary, twin=twin, calibration=digest("k4") if twin else None)
        self.feed(Registered(at=self.at, routing=normal(pair)))

    @invariant()
    def holds(self) -> None:
        state = self.state
        self.check(state.routing)
        if state.phase not in {"serving", "halted"}:
            assert state.incident
        if state.phase == "serving":
            assert state.incident is None
            assert state.routing == normal(state.served)
        if state.phase in {"contained", "hardening", "judging", "canary"}:
            assert state.routing.mode != "normal"
        assert (state.routing.canary is not None) == (state.phase == "canary")
        incidents = [incident for _, incident in self.trainings]
        assert len(incidents) == len(set(incidents)), "two trainings in one incident"
        starts = [start for start, _ in self.trainings]
        assert all(late - early >= self.limits.cooldown for early, late in pairwise(starts))
        for end in starts:
            recent = [start for start in starts if end - self.limits.window < start <= end]
            assert len(recent) <= self.limits.max_trainings


TestLoopMachine = LoopMachine.TestCase
TestLoopMachine.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
