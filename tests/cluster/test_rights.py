"""What the operator does on the API server, against what the chart lets it do."""

import time
from pathlib import Path

import pytest

from hauberk.adapters.kubernetes.kinds import SHIELD
from hauberk.testing.kube.chart import permits, rendered
from hauberk.testing.kube.process import ApiServer
from hauberk.testing.kube.stage import Stage

pytestmark = pytest.mark.cluster
CHART = Path(__file__).parents[2] / "deploy" / "helm" / "hauberk"
NAME = "digits"


def test_the_operator_does_nothing_that_its_role_does_not_permit(
    api: ApiServer | Path, stage: Stage
) -> None:
    if isinstance(api, Path):
        pytest.skip("a real API server gives no audit log here")
    pytest.importorskip("helm_python")
    stage.operator.kubeconfig = api.named("operator")
    stage.set_up(NAME)
    stage.service(NAME)
    stage.shield(NAME)
    stage.operator.start()
    before = stage.reach(NAME, "serving")["servingDigest"]
    stage.attack(NAME, before)
    stage.reach(NAME, "hardening")
    time.sleep(1.5)  # it asks after the job
    candidate = stage.harden(NAME)
    stage.reach(NAME, "judging")
    time.sleep(1.5)
    stage.judge(NAME, candidate)
    stage.reach(NAME, "canary")
    stage.tell(NAME, 6, digest=candidate, route="canary")
    stage.reach(NAME, "checking")
    stage.tell(NAME, 6, digest=candidate)
    stage.pair(NAME)
    stage.reach(NAME, "serving")
    stage.cluster.delete(SHIELD, NAME)
    stage.wait("the shield is gone", lambda: stage.cluster.get(SHIELD, NAME) is None)
    stage.operator.stop()
    did = [one for one in api.audit() if one["who"] == "operator"]
    roles = [tree for tree in rendered(CHART) if tree["kind"] == "Role"]
    beyond = {f"{r['verb']} {r['resource']}" for r in did if not permits(roles, r)}
    assert beyond == set()
    assert {one["namespace"] for one in did} == {stage.cluster.namespace}
    done = {(one["verb"], one["group"], one["resource"]) for one in did}
    needless = {
        (verb, group, resource)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if (verb, group, resource) not in done
    }
    assert needless == set(), "and its role permits nothing that it does not do"
