"""The operator killed in each phase of an incident, and two of them at once: one end state."""

import time

import pytest

from hauberk.adapters.kubernetes.kinds import DIGEST, JOB, LEASE, SHIELD, TRAIN_JOB
from hauberk.testing.kube.stage import Operator, Stage

pytestmark = pytest.mark.cluster
NAME = "digits"


def again(stage: Stage) -> None:
    stage.operator.kill()
    stage.operator.start()


def begin(stage: Stage) -> str:
    stage.set_up(NAME)
    stage.service(NAME)
    stage.shield(NAME)
    stage.operator.start()
    return str(stage.reach(NAME, "serving")["servingDigest"])


def test_killed_in_each_phase_an_incident_ends_the_same(stage: Stage) -> None:
    before = begin(stage)
    again(stage)  # while serving
    stage.attack(NAME, before)
    stage.wait("the alarm is journalled", lambda: len(stage.home(NAME).journal.read(NAME)) > 1)
    again(stage)  # while it contains, or a moment later
    stage.reach(NAME, "hardening")
    again(stage)
    candidate = stage.harden(NAME)
    stage.reach(NAME, "judging")
    again(stage)
    stage.judge(NAME, candidate)
    stage.reach(NAME, "canary")
    again(stage)
    stage.tell(NAME, 6, digest=candidate, route="canary")
    stage.reach(NAME, "checking")
    again(stage)
    stage.tell(NAME, 6, digest=candidate)
    stage.reach(NAME, "pairing")
    again(stage)
    twin = stage.pair(NAME)
    status = stage.reach(NAME, "serving")
    assert (status["servingDigest"], status["twinDigest"]) == (candidate, twin)
    predictor = stage.spec_of(NAME)["predictor"]
    assert predictor["annotations"][DIGEST] == candidate
    assert "canaryTrafficPercent" not in predictor
    assert (len(stage.jobs(TRAIN_JOB, NAME)), len(stage.jobs(JOB, NAME))) == (1, 2)
    closed = stage.home(NAME).ledger.entries(kind="incident")
    assert [entry.body["state"] for entry in closed] == ["opened", "closed"]


def test_killed_while_a_canary_fails_it_is_rolled_back_once(stage: Stage) -> None:
    before = begin(stage)
    stage.attack(NAME, before)
    candidate = stage.harden(NAME)
    stage.judge(NAME, candidate)
    stage.reach(NAME, "canary")
    stage.operator.kill()
    stage.tell(NAME, 6, digest=candidate, route="canary", agree=False)
    stage.operator.start()
    again(stage)
    status = stage.reach(NAME, "halted")
    assert (status["servingDigest"], status["mode"]) == (before, "contained")
    assert len(stage.home(NAME).ledger.entries(kind="revocation", subject=candidate)) == 1


def test_killed_while_the_shield_is_taken_away_the_service_is_given_back(stage: Stage) -> None:
    begin(stage)
    stage.operator.kill()
    stage.cluster.delete(SHIELD, NAME)
    assert stage.cluster.get(SHIELD, NAME), "its finalizer holds it until the service is back"
    stage.operator.start()
    stage.wait("the shield is gone", lambda: stage.cluster.get(SHIELD, NAME) is None)
    assert "model" in stage.spec_of(NAME)["predictor"]


def test_of_two_operators_one_leads_and_the_other_takes_over(stage: Stage) -> None:
    begin(stage)
    first = stage.operator
    log = first.log.with_name("second")
    second = Operator(first.namespace, stage.state, log, first.kubeconfig, first.lease)
    second.start()
    try:
        stage.wait("the second waits", lambda: second.log.exists() and second.lines())
        time.sleep(1.0)
        assert [line["event"] for line in second.lines()] == ["waiting to lead"]
        held = (stage.cluster.get(LEASE, "hauberk-operator") or {})["spec"]["holderIdentity"]
        assert held == stage.operator.lines()[0]["identity"]
        stage.operator.kill()
        stage.wait("it leads", lambda: "leading" in [line["event"] for line in second.lines()])
        stage.attack(NAME, stage.status(NAME)["servingDigest"])
        stage.reach(NAME, "hardening")
    finally:
        second.stop()
