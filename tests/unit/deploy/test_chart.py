"""The chart, rendered by Helm's own engine: valid, closed, and clean by our own vetting."""

import copy
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hauberk.adapters.kserve.component import Shape
from hauberk.core.digest import digest_bytes
from hauberk.core.spec import ClusterSpec, parse_spec
from hauberk.testing.kube.chart import VALUES, by_kyverno, objections, permits, reaches, rendered
from hauberk.testing.kube.derive import definition
from hauberk.testing.kube.resources import defined_by
from hauberk.testing.kube.schema import Validator, builtin_complaint, prune

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "hauberk"
IMAGE = f"{VALUES['image']['repository']}@{VALUES['image']['digest']}"
helm = pytest.importorskip("helm_python", reason="Helm's engine is not installed for this machine")
pytest.importorskip("celpy")


def values(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / f"values-{name}.yaml").read_text())
    return found


WAYS: dict[str, list[dict[str, Any]]] = {
    "default": [],
    "tensorflow-serving": [values("tensorflow-serving")],
    "triton": [values("triton")],
    "kyverno": [{"admission": {"engine": "kyverno", "actions": ["Warn", "Audit"]}}],
    "open": [{"admission": {"enabled": False}, "network": {"enabled": False}}],
    "stores": [
        {
            "network": {"stores": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
            "imagePullSecrets": [{"name": "pull"}],
            "state": {"create": False, "storageClass": "nfs"},
        }
    ],
}


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    return rendered(CHART, values("triton"))


@pytest.fixture(scope="module")
def kyverno() -> dict[str, Any]:
    found: list[dict[str, Any]] = rendered(CHART, {"admission": {"engine": "kyverno"}})
    assert of(found, "ValidatingAdmissionPolicy") == [], "one engine, not two"
    (policy,) = of(found, "ClusterPolicy")
    return policy


@pytest.fixture(scope="module", params=["kubernetes", "kyverno"])
def admission(
    request: pytest.FixtureRequest, objects: list[dict[str, Any]], kyverno: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Both policies, as each of the two engines is given them."""
    if request.param == "kyverno":
        return {name: by_kyverno(kyverno, name) for name in ("signed", "state")}
    return {name: of(objects, "ValidatingAdmissionPolicy", name)[0] for name in ("signed", "state")}


def of(objects: list[dict[str, Any]], kind: str, name: str = "") -> list[dict[str, Any]]:
    return [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(name)]


@pytest.mark.parametrize("way", WAYS)
def test_every_object_fits_the_published_schemas(way: str) -> None:
    for tree in rendered(CHART, *WAYS[way]):
        if tree["kind"] == "TrainingRuntime":
            (resource,) = defined_by(definition("trainingruntimes"))
            assert resource.schema
            assert prune(tree, resource.schema)[1] == []
            assert Validator(resource.schema).complaint(tree) == ""
            pod = tree["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": pod}
            assert builtin_complaint(job) == ""
        elif tree["kind"] != "ClusterPolicy":
            assert builtin_complaint(tree) == "", f"{tree['kind']} {tree['metadata']['name']}"


def closed(schema: Any) -> Any:
    """A schema that takes no other fields than those it names."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(one) for key, one in schema.items()}
    return {"additionalProperties": False, **found} if "properties" in schema else found


def test_kyverno_knows_every_field_of_its_policy(kyverno: dict[str, Any]) -> None:
    models = pytest.importorskip("cloudcoil.models.kyverno.v1")
    schema = closed(models.ClusterPolicy.model_json_schema())
    jsonschema.validate(kyverno, schema)
    wrong = copy.deepcopy(kyverno)
    wrong["spec"]["rules"][0]["validate"]["cel"]["expresions"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_both_engines_deny_or_tell_alike(kyverno: dict[str, Any]) -> None:
    assert {one["validate"]["failureAction"] for one in kyverno["spec"]["rules"]} == {"Enforce"}
    (told,) = of(rendered(CHART, *WAYS["kyverno"]), "ClusterPolicy")
    assert {one["validate"]["failureAction"] for one in told["spec"]["rules"]} == {"Audit"}
    assert (kyverno["spec"]["emitWarning"], told["spec"]["emitWarning"]) == (False, True)
    for rule in kyverno["spec"]["rules"]:
        (where,) = rule["match"]["any"]
        assert where["resources"]["namespaces"] == ["models"]


@pytest.mark.parametrize("way", WAYS)
def test_helm_finds_nothing(way: str, tmp_path: Path) -> None:
    said = copy.deepcopy(VALUES)
    for one in WAYS[way]:
        said |= one
    report = helm.lint(CHART, said, strict=True, namespace="models")
    worse_than_advice = [one for one in report["messages"] if one["severity"] > 1]
    assert (worse_than_advice, report["errors"]) == ([], [])


@pytest.mark.parametrize(
    "wrong",
    [{"image": {"digest": "latest"}}, {"image": {"repository": ""}}, {"operator": {"replicas": 0}}],
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError):
        rendered(CHART, wrong)


def test_our_own_vetting_finds_nothing(tmp_path: Path) -> None:
    from hauberk.faces.cli.main import run

    for way, said in WAYS.items():
        if way != "open":
            text = yaml.safe_dump_all(rendered(CHART, *said))
            (tmp_path / f"{way}.yaml").write_text(text)
    # A template is no YAML before it is rendered; all else is vetted as it lies there.
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=lambda *_: {"templates"})
    assert run(["vet", str(tmp_path)]) == 0


def test_our_own_vetting_would_find_something(tmp_path: Path) -> None:
    from hauberk.faces.cli.main import run

    (tmp_path / "open.yaml").write_text(yaml.safe_dump_all(rendered(CHART, *WAYS["open"])))
    assert run(["vet", str(tmp_path)]) == 1, "no policy closes the namespace"


@pytest.mark.parametrize("way", ["tensorflow-serving", "triton"])
def test_the_gateways_settings_are_a_spec(way: str) -> None:
    import tomllib

    (settings,) = [m for m in of(rendered(CHART, values(way)), "ConfigMap") if "data" in m]
    spec = parse_spec(tomllib.loads(settings["data"]["hauberk.toml"]))
    assert spec.upstream.url
    port = int(spec.upstream.url.rpartition(":")[2])
    assert values(way)["network"]["upstreamPorts"] == [port]


def test_pods_have_no_more_than_they_need(objects: list[dict[str, Any]]) -> None:
    pods = [tree["spec"]["template"]["spec"] for tree in of(objects, "Deployment")]
    (runtime,) = of(objects, "TrainingRuntime")
    replicated = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pods += [one["template"]["spec"]["template"]["spec"] for one in replicated]
    shape = Shape(shield="m", cluster=ClusterSpec(image=IMAGE))
    pods.append(shape.component(digest_bytes(b"x")))
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "@sha256:" in container["image"]
            assert "memory" in container["resources"]["limits"]
    tokens = [pod["automountServiceAccountToken"] for pod in pods]
    assert sorted(tokens) == [False, False, False, True], "the operator's alone"


def test_there_are_no_rights_on_the_cluster(objects: list[dict[str, Any]]) -> None:
    assert of(objects, "ClusterRole") == of(objects, "ClusterRoleBinding") == []
    (role,) = of(objects, "Role")
    assert not any("*" in entry for rule in role["rules"] for entry in rule.values())
    for resource in ("secrets", "pods/exec", "rolebindings"):
        for verb in ("get", "list", "create"):
            request = {"group": "", "resource": resource, "verb": verb, "name": ""}
            assert not permits([role], request)


def test_disruptions_and_load_are_thought_of(objects: list[dict[str, Any]]) -> None:
    assert len(of(objects, "PodDisruptionBudget")) == 2
    (scaler,) = of(objects, "HorizontalPodAutoscaler")
    (metric,) = scaler["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "hauberk_in_flight"
    meters = (ROOT / "src/hauberk/faces/gateway/meters.py").read_text()
    assert 'Gauge("hauberk_in_flight"' in meters
    gateway = of(objects, "Deployment", "gateway")[0]
    assert "replicas" not in gateway["spec"], "the scaler's alone"


def serving_pod(digest: str, **changes: Any) -> dict[str, Any]:
    shape = Shape(shield="m", cluster=ClusterSpec(image=IMAGE))
    component = shape.component(digest)
    labels = {**component["labels"], "serving.kserve.io/inferenceservice": "m"}
    spec = {key: component[key] for key in ("containers", "volumes", "securityContext")}
    meta = {"name": "m-1", "labels": labels, "annotations": component["annotations"]}
    return {"metadata": meta, "spec": {**spec, **changes}}


GOOD, OTHER = digest_bytes(b"good"), digest_bytes(b"other")
SIGNED = {"m": f"{GOOD} {digest_bytes(b'twin')}", "n": digest_bytes(b"n")}


Policies = dict[str, dict[str, Any]]


def test_only_signed_digests_are_served(admission: Policies) -> None:
    policy = admission["signed"]
    assert objections(policy, serving_pod(GOOD), signed=SIGNED) == []
    (why,) = objections(policy, serving_pod(OTHER), signed=SIGNED)
    assert "not signed" in why
    assert objections(policy, serving_pod(GOOD), signed={}) != [], "an empty list allows nothing"
    assert objections(policy, serving_pod("sha256:"), signed=SIGNED) != []
    bare = serving_pod(GOOD)
    del bare["metadata"]["annotations"]
    assert objections(policy, bare, signed=SIGNED) != []


def test_a_signed_digest_is_no_cover_for_another_program(admission: Policies) -> None:
    policy = admission["signed"]
    pod = serving_pod(GOOD)
    pod["spec"]["containers"][0]["image"] = "attacker/server:1"
    assert objections(policy, pod, signed=SIGNED) != []
    assert objections(policy, pod, signed=SIGNED, before=serving_pod(GOOD)) != []
    for label in ("hauberk.dev/job", "app.kubernetes.io/component"):
        hidden = copy.deepcopy(pod)
        hidden["metadata"]["labels"][label] = "x"
        assert objections(policy, hidden, signed=SIGNED) != [], "no label is a way around it"


def test_a_pod_that_serves_nothing_is_none_of_its_business(
    admission: Policies, objects: list[dict[str, Any]]
) -> None:
    policy = admission["signed"]
    pod = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"image": "x"}]}}
    assert objections(policy, pod, signed=SIGNED) == []
    gateway = of(objects, "Deployment", "gateway")[0]["spec"]["template"]
    assert objections(policy, gateway, signed=SIGNED) == []


@pytest.fixture(scope="module")
def insider() -> dict[str, Any]:
    """The published scenario: a pod in the same cluster, under its namespace's default account."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "insider.yaml").read_text())
    return found


def test_the_insider_cannot_read_the_model_store(
    admission: Policies, objects: list[dict[str, Any]], insider: dict[str, Any]
) -> None:
    policy = admission["state"]
    (why,) = objections(policy, insider)
    assert "hauberk-state" in why
    disguised = copy.deepcopy(insider)
    disguised["spec"]["containers"][0]["image"] = IMAGE
    assert objections(policy, disguised) != [], "our image, but a shell"
    for kind in ("initContainers", "ephemeralContainers"):
        hidden = serving_pod(GOOD)
        hidden["spec"][kind] = copy.deepcopy(insider["spec"]["containers"])
        hidden["spec"][kind][0]["volumeMounts"][0]["name"] = "hauberk-state"
        assert objections(policy, hidden) != []
    assert objections(policy, serving_pod(GOOD)) == []
    training = serving_pod(GOOD)
    training["spec"]["containers"][0] |= {
        "command": ["torchrun"],
        "args": ["-m", "hauberk", "work"],
    }
    assert objections(policy, training) == []
    training["spec"]["containers"][0]["args"] = ["-m", "http.server", "8080"]
    assert objections(policy, training) != []
    for tree in of(objects, "Deployment"):
        assert objections(policy, tree["spec"]["template"]) == []


def test_the_insider_cannot_call_the_controller(
    objects: list[dict[str, Any]], insider: dict[str, Any]
) -> None:
    policies = of(objects, "NetworkPolicy")
    attacker = insider["metadata"]["labels"]
    ours = {"app.kubernetes.io/name": "hauberk", "app.kubernetes.io/instance": "hauberk"}
    targets = {
        "operator": {**ours, "app.kubernetes.io/component": "operator"},
        "gateway": {**ours, "app.kubernetes.io/component": "gateway", "hauberk.dev/shield": "m"},
        "injected gateway": {"hauberk.dev/shield": "m", "component": "predictor"},
        "training": {**ours, "app.kubernetes.io/component": "job"},
        "judging": {"hauberk.dev/shield": "m", "hauberk.dev/job": "judge"},
        "predictor": {"component": "predictor", "serving.kserve.io/inferenceservice": "x"},
    }
    for name, target in targets.items():
        for space in ("models", "elsewhere"):
            for port in (8080, 9090, 8012):
                spaces = (space, "models")
                assert not reaches(policies, attacker, target, port, spaces=spaces), name


def test_the_insider_has_no_right(objects: list[dict[str, Any]], insider: dict[str, Any]) -> None:
    account = insider["spec"].get("serviceAccountName", "default")
    subjects = [s["name"] for one in of(objects, "RoleBinding") for s in one["subjects"]]
    assert account not in subjects


def test_who_has_business_gets_through(objects: list[dict[str, Any]]) -> None:
    policies = of(objects, "NetworkPolicy")
    gateway = {"hauberk.dev/shield": "m", "component": "predictor"}
    operator = {
        "app.kubernetes.io/name": "hauberk",
        "app.kubernetes.io/instance": "hauberk",
        "app.kubernetes.io/component": "operator",
    }
    activator = ("knative-serving", "models")
    assert reaches(policies, {}, gateway, 8012, spaces=activator)
    assert reaches(policies, {}, operator, 9090, spaces=("monitoring", "models"))
    assert not reaches(policies, {}, operator, 9090, spaces=activator)
    receiver = {**operator, "app.kubernetes.io/component": "gateway", "hauberk.dev/shield": "g"}
    assert reaches(policies, gateway, receiver, 8080), "the payload logger"
    assert not reaches(policies, gateway, operator, 9090)
    plain = of(rendered(CHART), "NetworkPolicy")
    assert reaches(plain, {"hauberk.dev/shield": "m"}, {"component": "predictor"}, 8080)
    assert reaches(policies, {"hauberk.dev/shield": "m"}, {"app": "triton"}, 8001)
    assert not reaches(policies, {"hauberk.dev/shield": "m"}, {"app": "other"}, 8001)


def test_every_value_is_told_of() -> None:
    """Each key of values.yaml has a comment of its own or stands under one."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if line and line[0].isalpha():
            assert lines[number - 1].startswith("#") or lines[number + 1].lstrip().startswith("#")
