"""One service on a cluster, from the label to the closed incident."""

import pytest

from hauberk.adapters.kserve.deployer import ORIGINAL
from hauberk.adapters.kubernetes.kinds import (
    CONFIG_MAP,
    DIGEST,
    EVENT,
    JOB,
    SERVICE,
    SHIELD,
    TRAIN_JOB,
)
from hauberk.testing.kube.stage import IMAGE, Stage, framework_of

pytestmark = pytest.mark.cluster
NAME = "digits"


@pytest.fixture
def shielded(stage: Stage) -> Stage:
    stage.set_up(NAME)
    stage.service(NAME)
    stage.shield(NAME)
    stage.operator.start()
    stage.reach(NAME, "serving")
    return stage


def digest_in(stage: Stage) -> str:
    return str(stage.spec_of(NAME)["predictor"]["annotations"][DIGEST])


def condition(stage: Stage, kind: str) -> str:
    found = {one["type"]: one["status"] for one in stage.status(NAME).get("conditions", ())}
    return str(found.get(kind))


def test_a_labelled_service_is_shielded(shielded: Stage) -> None:
    status = shielded.status(NAME)
    assert (status["phase"], status["mode"]) == ("serving", "normal")
    assert condition(shielded, "Shielded") == "True"
    predictor = shielded.spec_of(NAME)["predictor"]
    (container,) = predictor["containers"]
    assert container["image"] == IMAGE
    assert container["args"][0] == "serve"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert predictor["logger"] == {"mode": "all", "url": "http://payloads.example"}
    assert predictor["minReplicas"] == 1, "what the user set stays the user's"
    assert framework_of(shielded.spec_of(NAME)) == set()
    assert digest_in(shielded) == status["servingDigest"]
    owners = (shielded.cluster.get(SERVICE, NAME) or {})["metadata"]["managedFields"]
    assert ("hauberk", "Apply") in {(one["manager"], one["operation"]) for one in owners}


def test_an_alarm_leads_to_one_training_and_success_to_promotion(shielded: Stage) -> None:
    before = shielded.status(NAME)["servingDigest"]
    shielded.attack(NAME, before)
    status = shielded.reach(NAME, "hardening")
    assert status["mode"] == "contained"
    assert condition(shielded, "Nominal") == "False"
    assert status["lastEvidence"]["rule"]
    for _ in range(3):
        shielded.attack(NAME, before)
    (job,) = shielded.jobs(TRAIN_JOB, NAME)
    assert job["spec"]["trainer"]["args"][0] == "work"
    candidate = shielded.harden(NAME)
    shielded.judge(NAME, candidate)
    status = shielded.reach(NAME, "canary")
    assert (status["candidate"], status["canaryPercent"]) == (candidate, 20)
    predictor = shielded.spec_of(NAME)["predictor"]
    assert predictor["canaryTrafficPercent"] == 20
    assert digest_in(shielded) == candidate
    shielded.tell(NAME, 6, digest=candidate, route="canary")
    status = shielded.reach(NAME, "checking")
    assert status["servingDigest"] == candidate
    assert "canaryTrafficPercent" not in shielded.spec_of(NAME)["predictor"]
    shielded.tell(NAME, 6, digest=candidate)
    shielded.reach(NAME, "pairing")
    twin = shielded.pair(NAME)
    status = shielded.reach(NAME, "serving")
    assert (status["servingDigest"], status["twinDigest"]) == (candidate, twin)
    assert digest_in(shielded) == candidate
    assert status["mode"] == "normal"
    listed = (shielded.cluster.get(CONFIG_MAP, "hauberk-signed") or {})["data"]
    assert listed == {NAME: f"{candidate} {twin}"}, "what the admission policy lets be served"
    assert len(shielded.jobs(TRAIN_JOB, NAME)) == 1
    assert len(shielded.jobs(JOB, NAME)) == 2
    told = {one["reason"] for one in shielded.cluster.list(EVENT)}
    assert {"Incident", "Hardening", "Judging", "Canary", "Checking", "Serving"} <= told


def test_a_failed_training_leaves_the_containment_and_people_decide(shielded: Stage) -> None:
    before = shielded.status(NAME)["servingDigest"]
    shielded.attack(NAME, before)
    shielded.reach(NAME, "hardening")
    shielded.fail_training(NAME, "out of memory")
    status = shielded.reach(NAME, "halted")
    assert (status["servingDigest"], status["mode"]) == (before, "contained")
    note = {"metadata": {"annotations": {"hauberk.dev/review": f"{status['incident']}=dismiss"}}}
    shielded.cluster.merge(SHIELD, NAME, note)
    status = shielded.reach(NAME, "serving")
    assert (status["servingDigest"], status["mode"]) == (before, "normal")


def test_a_canary_that_fails_is_rolled_back(shielded: Stage) -> None:
    before = shielded.status(NAME)["servingDigest"]
    shielded.attack(NAME, before)
    candidate = shielded.harden(NAME)
    shielded.judge(NAME, candidate)
    shielded.reach(NAME, "canary")
    shielded.tell(NAME, 6, digest=candidate, route="canary", agree=False)
    status = shielded.reach(NAME, "halted")
    assert (status["servingDigest"], status["mode"]) == (before, "contained")
    assert digest_in(shielded) == before
    assert "canaryTrafficPercent" not in shielded.spec_of(NAME)["predictor"]
    home = shielded.home(NAME)
    assert home.trust.revoked(candidate)


def test_a_candidate_that_the_gate_denies_never_gets_traffic(shielded: Stage) -> None:
    before = shielded.status(NAME)["servingDigest"]
    note = {"metadata": {"annotations": {"hauberk.dev/alarm": "seen by a person"}}}
    shielded.cluster.merge(SHIELD, NAME, note)
    candidate = shielded.harden(NAME)
    shielded.judge(NAME, candidate, "fail")
    status = shielded.reach(NAME, "halted")
    assert status["servingDigest"] == before
    assert digest_in(shielded) == before
    assert status["trainings"] == 1


def test_in_standard_mode_the_canary_is_a_deployment_with_a_weight(stage: Stage) -> None:
    from hauberk.testing.kube.stage import SPEC

    routing = stage.set_up(NAME)
    stage.service(NAME)
    stage.shield(NAME, {**SPEC, "cluster": {"mode": "standard"}})
    stage.operator.start()
    stage.reach(NAME, "serving")
    first = stage.spec_of(NAME)["predictor"]["name"]
    stage.attack(NAME, routing.primary)
    candidate = stage.harden(NAME)
    stage.judge(NAME, candidate)
    stage.reach(NAME, "canary")
    (canary,) = stage.spec_of(NAME)["canary"]
    assert canary["trafficPercent"] == 20
    assert canary["predictor"]["annotations"][DIGEST] == candidate
    assert stage.spec_of(NAME)["predictor"]["name"] == first
    stage.tell(NAME, 6, digest=candidate, route="canary")
    stage.reach(NAME, "checking")
    spec = stage.spec_of(NAME)
    assert "canary" not in spec
    assert spec["predictor"]["name"] == canary["predictor"]["name"] != first


def test_as_a_transformer_the_gateway_stands_before_the_users_predictor(stage: Stage) -> None:
    stage.service(NAME)
    stage.shield(NAME, {"cluster": {"inject": "transformer"}, "upstream": {"protocol": "v2"}})
    stage.operator.start()
    status = stage.reach(NAME, "serving")
    spec = stage.spec_of(NAME)
    assert spec["predictor"]["model"]["storageUri"] == "s3://models/digits"
    assert spec["transformer"]["containers"][0]["image"] == IMAGE
    assert "HAUBERK_DIGEST" not in {
        one["name"] for one in spec["transformer"]["containers"][0]["env"]
    }
    orders = (stage.state / NAME / "jobs" / "hauberk.toml").read_text()
    assert f'url = "http://{NAME}-predictor.{stage.cluster.namespace}.svc.cluster.local"' in orders
    alarm = {"metadata": {"annotations": {"hauberk.dev/alarm": "seen by a person"}}}
    stage.cluster.merge(SHIELD, NAME, alarm)
    during = stage.reach(NAME, "hardening")
    assert (during["mode"], during["servingDigest"]) == ("abstain", status["servingDigest"])
    stage.cluster.delete(SHIELD, NAME)
    stage.wait("the shield is gone", lambda: stage.cluster.get(SHIELD, NAME) is None)
    assert "transformer" not in stage.spec_of(NAME)


def test_what_someone_else_overwrites_is_put_right(shielded: Stage) -> None:
    patch = {"spec": {"predictor": {"containers": None, "model": {"modelFormat": {"name": "x"}}}}}
    shielded.cluster.merge(SERVICE, NAME, patch)
    shielded.wait(
        "the gateway is back",
        lambda: (
            shielded.spec_of(NAME)["predictor"].get("containers")
            and not framework_of(shielded.spec_of(NAME))
        ),
    )


def test_without_its_shield_the_service_is_as_it_was(shielded: Stage) -> None:
    shield = shielded.cluster.get(SHIELD, NAME) or {}
    assert "storageUri" in shield["metadata"]["annotations"][ORIGINAL]
    shielded.cluster.delete(SHIELD, NAME)
    shielded.wait("the shield is gone", lambda: shielded.cluster.get(SHIELD, NAME) is None)
    predictor = shielded.spec_of(NAME)["predictor"]
    assert predictor["model"]["storageUri"] == "s3://models/digits"
    assert {"containers", "logger", "annotations", "volumes"} & predictor.keys() == set()
    assert predictor["minReplicas"] == 1


def test_a_spec_that_makes_no_sense_is_told_of_and_the_old_one_stays(shielded: Stage) -> None:
    # The definition takes any text here; the state directory does not.
    shielded.cluster.merge(SHIELD, NAME, {"spec": {"state": {"ledger": "mysql://x"}}})
    shielded.wait("it is told of", lambda: condition(shielded, "Working") == "False")
    assert condition(shielded, "Shielded") == "True"
    shielded.attack(NAME, shielded.status(NAME)["servingDigest"])
    assert shielded.reach(NAME, "hardening")["mode"] == "contained"


def test_a_service_without_a_registered_model_says_so(stage: Stage) -> None:
    stage.service(NAME)
    stage.shield(NAME)
    stage.operator.start()
    status = stage.wait("a status", lambda: stage.status(NAME))
    (shielded,) = [one for one in status["conditions"] if one["type"] == "Shielded"]
    assert shielded["status"] == "False"
    assert "no model is registered" in shielded["message"]
    assert framework_of(stage.spec_of(NAME)) == {"model"}
    stage.set_up(NAME)
    stage.reach(NAME, "serving")


def test_the_operator_ends_with_success_and_lets_the_lease_go(shielded: Stage) -> None:
    assert shielded.operator.stop() == 0
    assert shielded.operator.lines()[-1]["event"] == "stopped"
    assert [line for line in shielded.operator.lines() if "Traceback" in line.get("text", "")] == []


def test_a_shield_that_never_stood_takes_nothing_with_it(stage: Stage) -> None:
    users = {
        "predictor": {
            "containers": [{"name": "kserve-container", "image": "users/server:1"}],
            "labels": {"team": "a"},
        },
        "transformer": {"containers": [{"name": "kserve-container", "image": "users/before:1"}]},
    }
    stage.service(NAME, spec=users)
    stage.shield(NAME)
    stage.operator.start()
    stage.wait("a status", lambda: stage.status(NAME))
    stage.cluster.delete(SHIELD, NAME)
    stage.wait("the shield is gone", lambda: stage.cluster.get(SHIELD, NAME) is None)
    assert stage.spec_of(NAME) == users


def test_a_predictor_of_the_users_own_comes_back_as_it_was(stage: Stage) -> None:
    users = {
        "predictor": {
            "minReplicas": 2,
            "labels": {"team": "a"},
            "containers": [
                {"name": "kserve-container", "image": "users/server:1", "args": ["--x"]},
                {"name": "aside", "image": "users/aside:1"},
            ],
        }
    }
    for _ in range(2):  # a shield that comes again finds nothing of the first
        stage.set_up(NAME)
        if not stage.cluster.get(SERVICE, NAME):
            stage.service(NAME, spec=users)
        stage.shield(NAME)
        if not stage.operator.process:
            stage.operator.start()
        stage.reach(NAME, "serving")
        images = {one["image"] for one in stage.spec_of(NAME)["predictor"]["containers"]}
        assert IMAGE in images
        assert "users/server:1" not in images
        stage.cluster.delete(SHIELD, NAME)
        stage.wait("the shield is gone", lambda: stage.cluster.get(SHIELD, NAME) is None)
        assert stage.spec_of(NAME) == users
