"""The API server of the tests, as real clients see it: kopf, lightkube and plain HTTP."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

from hauberk.faces.cli.glossary import TEXTS
from hauberk.faces.operator.crd import definition as shield_definition
from hauberk.testing.kube.derive import DERIVED, definition
from hauberk.testing.kube.process import ApiServer

Service = create_namespaced_resource(
    "serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices"
)
ISVC = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "m", "labels": {"a": "b"}},
    "spec": {
        "predictor": {
            "minReplicas": 1,
            "model": {"modelFormat": {"name": "onnx"}, "storageUri": "s3://x/y"},
        }
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer.start(tmp_path_factory.mktemp("api")) as server:
        with Client(
            config=KubeConfig.from_file(str(server.kubeconfig)), field_manager="t"
        ) as client:
            tree = CustomResourceDefinition.from_dict(definition("inferenceservices"))
            client.create(cast("CustomResourceDefinition", tree))
        yield server


@pytest.fixture
def http(server: ApiServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        place = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
        client.delete(place)
        client.base_url = httpx.URL(server.url + place)
        yield client


@pytest.fixture
def kube(server: ApiServer) -> Iterator[Client]:
    config = KubeConfig.from_file(str(server.kubeconfig))
    with Client(config=config, namespace="default", field_manager="t") as client:
        yield client


def config_map(**data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="c"), data=data)


def apply(http: httpx.Client, tree: object, manager: str, *, force: bool = False) -> httpx.Response:
    return http.patch(
        "/m",
        params={"fieldManager": manager, "force": str(force).lower()},
        headers={"content-type": "application/apply-patch+yaml"},
        json=tree,
    )


def patch(http: httpx.Client, tree: object, kind: str = "merge-patch") -> httpx.Response:
    return http.patch("/m", headers={"content-type": f"application/{kind}+json"}, json=tree)


def spec_of(**predictor: object) -> dict[str, object]:
    head = {key: ISVC[key] for key in ("apiVersion", "kind")}
    return {**head, "metadata": {"name": "m"}, "spec": {"predictor": predictor}}


def unstructural(schema: dict[str, Any], path: str = "") -> list[str]:
    """What a real API server refuses in the schema of a definition."""
    either = schema.get("x-kubernetes-int-or-string")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    found = (
        [] if either or open_ended or isinstance(schema.get("type"), str) else [f"{path}: no type"]
    )
    found += [
        f"{path}: {key}" for key in ("$ref", "$defs", "anyOf", "prefixItems") if key in schema
    ]
    if schema.get("type") == "array" and "items" not in schema:
        found.append(f"{path}: no items")
    if {"properties", "additionalProperties"} <= schema.keys():
        found.append(f"{path}: both properties and additionalProperties")
    items = schema.get("items", {})
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        if key not in items.get("required", ()) and "default" not in items["properties"][key]:
            found.append(f"{path}: key {key} is neither required nor defaulted")
    for key, inner in schema.get("properties", {}).items():
        found += unstructural(inner, f"{path}.{key}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += unstructural(schema[key], f"{path}[]")
    return found


@pytest.mark.parametrize("plural", [*DERIVED, "modelshields"])
def test_definitions_are_structural(plural: str) -> None:
    tree = definition(plural) if plural in DERIVED else shield_definition(TEXTS)
    (version,) = tree["spec"]["versions"]
    assert unstructural(version["schema"]["openAPIV3Schema"]) == []
    assert len(json.dumps(tree)) < 10**6, "what etcd holds"


def test_lightkube_creates_reads_replaces_and_deletes(kube: Client) -> None:
    made = kube.create(config_map(a="1"))
    assert made.metadata
    assert (made.metadata.namespace, bool(made.metadata.uid)) == ("default", True)
    with pytest.raises(ApiError) as taken:
        kube.create(config_map())
    assert (taken.value.status.code, taken.value.status.reason) == (409, "AlreadyExists")
    stale = kube.get(ConfigMap, "c")
    kube.patch(ConfigMap, "c", {"data": {"b": "2"}}, patch_type=PatchType.MERGE)
    with pytest.raises(ApiError) as old:
        kube.replace(stale)
    assert (old.value.status.code, old.value.status.reason) == (409, "Conflict")
    assert kube.get(ConfigMap, "c").data == {"a": "1", "b": "2"}
    kube.delete(ConfigMap, "c")
    with pytest.raises(ApiError, match="not found"):
        kube.get(ConfigMap, "c")


def test_an_object_is_held_to_its_schema(http: httpx.Client) -> None:
    bad = {**ISVC, "spec": {"predictor": {"minReplicas": "one"}}}
    answer = http.post("", json=bad)
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert "spec.predictor.minReplicas" in answer.json()["message"]
    model = {"model": {"modelFormat": {"name": "onnx"}}}
    odd = {**ISVC, "spec": {"predictor": {"nonsense": 1, **model}}}
    assert http.post("", params={"fieldValidation": "Strict"}, json=odd).status_code == 400
    assert http.post("", json=odd).json()["spec"] == {"predictor": model}


def test_built_in_types_are_held_to_the_published_schemas(server: ApiServer) -> None:
    place = f"{server.url}/api/v1/namespaces/default/configmaps"
    tree = {"metadata": {"name": "z"}, "data": {"a": 1}}
    answer = httpx.post(place, json=tree, trust_env=False)
    assert answer.status_code == 422
    assert "data.a" in answer.json()["message"]
    nowhere = f"{server.url}/api/v1/namespaces/nowhere/configmaps"
    answer = httpx.post(nowhere, json={"metadata": {"name": "z"}}, trust_env=False)
    assert answer.status_code == 404


def test_the_status_is_a_resource_of_its_own(http: httpx.Client) -> None:
    made = http.post("", json={**ISVC, "status": {"url": "http://early"}}).json()
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    ignored = patch(
        http, {"status": {"url": "http://no"}, "spec": {"predictor": {"minReplicas": 2}}}
    )
    assert "status" not in ignored.json()
    assert ignored.json()["metadata"]["generation"] == 2
    kind = {"content-type": "application/merge-patch+json"}
    tree = {"status": {"url": "http://yes"}, "spec": {"predictor": {"minReplicas": 9}}}
    answer = http.patch("/m/status", headers=kind, json=tree).json()
    assert answer["status"]["url"] == "http://yes"
    assert answer["spec"]["predictor"]["minReplicas"] == 2
    assert answer["metadata"]["generation"] == 2


def test_a_json_patch_whose_test_fails_changes_nothing(http: httpx.Client) -> None:
    version = http.post("", json=ISVC).json()["metadata"]["resourceVersion"]
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": "0"}
    add = {"op": "add", "path": "/metadata/finalizers", "value": ["x.io/y"]}
    assert patch(http, [test, add], "json-patch").status_code == 422
    assert patch(http, [{**test, "value": version}, add], "json-patch").status_code == 200


def test_an_object_with_a_finalizer_waits_for_it(http: httpx.Client) -> None:
    http.post("", json={**ISVC, "metadata": {"name": "m", "finalizers": ["x.io/y"]}})
    assert http.delete("/m").json()["metadata"]["deletionTimestamp"]
    assert http.get("/m").status_code == 200
    assert patch(http, {"metadata": {"finalizers": None}}).status_code == 200
    assert http.get("/m").status_code == 404


def test_apply_owns_what_it_names_and_takes_it_back(http: httpx.Client) -> None:
    http.post("", params={"fieldManager": "user"}, json=ISVC)
    ours = spec_of(canaryTrafficPercent=20, timeout=5)
    assert apply(http, ours, "hauberk").status_code == 200
    live = http.get("/m").json()
    assert live["spec"]["predictor"]["canaryTrafficPercent"] == 20
    assert live["spec"]["predictor"]["model"]["storageUri"] == "s3://x/y"
    # What is no longer named is removed, and nothing of anyone else's.
    live = apply(http, spec_of(timeout=5), "hauberk").json()
    assert "canaryTrafficPercent" not in live["spec"]["predictor"]
    assert live["spec"]["predictor"]["minReplicas"] == 1
    managers = {one["manager"]: one["operation"] for one in live["metadata"]["managedFields"]}
    assert managers == {"user": "Update", "hauberk": "Apply"}


def test_apply_conflicts_with_another_owner_unless_forced(http: httpx.Client) -> None:
    http.post("", params={"fieldManager": "user"}, json=ISVC)
    same = apply(http, spec_of(minReplicas=1), "hauberk")
    assert same.status_code == 200, "the same value is owned by both"
    answer = apply(http, spec_of(minReplicas=3), "hauberk")
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "user" in answer.json()["message"]
    forced = apply(http, spec_of(minReplicas=3), "hauberk", force=True).json()
    assert forced["spec"]["predictor"]["minReplicas"] == 3
    again = apply(http, spec_of(minReplicas=3), "hauberk").json()
    assert again["metadata"]["resourceVersion"] == forced["metadata"]["resourceVersion"]


def test_keyed_lists_are_merged_by_their_keys(server: ApiServer) -> None:
    place = f"{server.url}/apis/apps/v1/namespaces/default/deployments/d"

    def apply_env(manager: str, *names: str) -> Any:
        env = [{"name": name, "value": "1"} for name in names]
        pod = {"containers": [{"name": "c", "image": "i", "env": env}]}
        labels = {"app": "d"}
        tree = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
        kind = {"content-type": "application/apply-patch+yaml"}
        query = {"fieldManager": manager}
        answer = httpx.patch(place, params=query, headers=kind, json=tree, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    apply_env("one", "a", "b")
    apply_env("two", "c")
    (container,) = apply_env("one", "b")["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in container["env"]] == ["b", "c"]


def test_a_watch_goes_on_from_a_list_and_sends_bookmarks(
    server: ApiServer, http: httpx.Client
) -> None:
    version = http.get("").json()["metadata"]["resourceVersion"]
    seen: list[dict[str, Any]] = []
    query = {
        "watch": "1",
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "4",
        "labelSelector": "a=b",
    }

    def follow() -> None:
        with httpx.stream("GET", str(http.base_url), params=query, trust_env=False, timeout=9) as s:
            seen.extend(json.loads(line) for line in s.iter_lines())

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.3)
    http.post("", json=ISVC)
    patch(http, {"spec": {"predictor": {"minReplicas": 4}}})
    patch(http, {"metadata": {"labels": {"a": "other"}}})
    http.delete("/m")
    thread.join(10)
    kinds = [one["type"] for one in seen]
    assert [kind for kind in kinds if kind != "BOOKMARK"] == ["ADDED", "MODIFIED", "DELETED"]
    assert kinds[-1] == "BOOKMARK"
    versions = [int(str(one["object"]["metadata"]["resourceVersion"])) for one in seen]
    assert versions == sorted(versions)


def test_kopf_really_starts_on_it(server: ApiServer, http: httpx.Client, tmp_path: Path) -> None:
    program = tmp_path / "handlers.py"
    program.write_text(
        "import kopf\n"
        "@kopf.on.startup()\n"
        "def configure(settings, **_):\n"
        "    settings.persistence.finalizer = 'hauberk.dev/finalizer'\n"
        "@kopf.on.create('serving.kserve.io', 'v1beta1', 'inferenceservices')\n"
        "def made(patch, **_):\n"
        "    patch.status['url'] = 'http://handled'\n"
        "@kopf.on.delete('serving.kserve.io', 'v1beta1', 'inferenceservices')\n"
        "def gone(**_): pass\n"
    )
    command = [sys.executable, "-m", "kopf", "run", str(program), "-n", "default", "--standalone"]
    environment = {"KUBECONFIG": str(server.kubeconfig), "PATH": "/usr/bin:/bin"}
    operator = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        http.post("", json=ISVC)
        deadline = time.monotonic() + 30
        while "status" not in (live := http.get("/m").json()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert live["status"]["url"] == "http://handled"
        assert live["metadata"]["finalizers"] == ["hauberk.dev/finalizer"]
        http.delete("/m")
        while http.get("/m").status_code != 404 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert http.get("/m").status_code == 404
    finally:
        operator.terminate()
        _, said = operator.communicate(timeout=20)
    assert "Traceback" not in said


def test_kserve_wants_one_implementation_at_every_moment(http: httpx.Client) -> None:
    model = {"model": {"modelFormat": {"name": "onnx"}}}
    ours = {"containers": [{"name": "kserve-container", "image": "x"}]}
    for predictor in ({}, {**model, **ours}, {"containers": [{"name": "aside", "image": "x"}]}):
        assert http.post("", json=spec_of(**predictor)).status_code == 400, predictor
    assert http.post("", json=spec_of(**model)).status_code == 201
    assert patch(http, {"spec": {"predictor": {"model": None}}}).status_code == 400
    assert patch(http, {"spec": {"predictor": ours}}).status_code == 400
    assert patch(http, {"spec": {"predictor": {"model": None, **ours}}}).status_code == 200
