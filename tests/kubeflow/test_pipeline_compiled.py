"""What Kubeflow is given: the compiled pipeline, its resources, and one run per incident."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from hauberk.core.errors import EnvironmentFault
from hauberk.core.spec import Spec, StateSpec
from hauberk.faces.pipelines.order import Order
from hauberk.faces.pipelines.steps import STEPS

pytest.importorskip("kfp", reason="needs the kubeflow extra")

from hauberk.faces.pipelines.pipeline import NAME, Build, compile_to
from hauberk.faces.pipelines.submit import submit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.kubeflow


def compiled(tmp_path: Path, build: Build, **how: Any) -> list[dict[str, Any]]:
    path = tmp_path / "p.yaml"
    compile_to(path, build, **how)
    return list(yaml.safe_load_all(path.read_text()))


def test_the_steps_in_their_order(tmp_path: Path) -> None:
    spec = compiled(tmp_path, Build(image="registry.example/hauberk-python:1"), form="ir")[0]
    tasks = spec["root"]["dag"]["tasks"]
    assert list(STEPS) == ["prepare", "harden", "evaluate", "gate", "sign", "register", "deploy"]
    assert set(tasks) == set(STEPS)
    for before, after in zip(list(STEPS), list(STEPS)[1:], strict=False):
        assert tasks[after]["dependentTasks"] == [before]
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert set(inputs) == {"incident", "number", "config", "state"}
    executors = spec["deploymentSpec"]["executors"].values()
    assert {one["container"]["image"] for one in executors} == {"registry.example/hauberk-python:1"}
    assert "pip install" not in json.dumps(spec)
    assert not any(task.get("cachingOptions", {}).get("enableCache") for task in tasks.values())
    assert "retryPolicy" not in tasks["gate"]
    assert tasks["harden"]["retryPolicy"]["maxRetryCount"] == 2


def test_the_resources(tmp_path: Path) -> None:
    build = Build(claim="hauberk-state", cpu="4", memory="8Gi")
    pipeline, version = compiled(tmp_path, build, form="resources", namespace="team")
    assert (pipeline["kind"], pipeline["metadata"]["name"]) == ("Pipeline", NAME)
    assert (version["kind"], version["spec"]["pipelineName"]) == ("PipelineVersion", NAME)
    assert {one["metadata"]["namespace"] for one in (pipeline, version)} == {"team"}
    text = json.dumps(version)
    assert text.count('"mountPath": "/var/lib/hauberk"') == len(STEPS)
    executors = version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"]
    assert "resources" in executors["exec-harden"]["container"]
    assert "resources" not in executors["exec-gate"]["container"]


class Api(BaseHTTPRequestHandler):
    """As much of the Pipelines API as a submission needs."""

    runs: ClassVar[list[dict[str, Any]]] = []
    tokens: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        self.tokens.add(self.headers.get("authorization", ""))
        path = urlsplit(self.path)
        if path.path.endswith("/healthz"):
            return self._answer({"multi_user": False})
        if path.path.endswith("/experiments"):
            return self._answer(
                {"experiments": [{"experiment_id": "e1", "display_name": "hauberk"}]}
            )
        if path.path.endswith("/runs"):
            wanted = json.loads(parse_qs(path.query)["filter"][0])["predicates"][0]
            assert wanted["key"] == "display_name"
            found = [r for r in reversed(self.runs) if r["display_name"] == wanted["string_value"]]
            return self._answer({"runs": found})
        return self._answer({"experiment_id": "e1", "display_name": "hauberk"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        run = {**body, "run_id": f"r{len(self.runs)}", "state": "RUNNING"}
        if self.path.partition("?")[0].endswith("/runs"):
            self.runs.append(run)
        self._answer(run)

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[str]:
    Api.runs, Api.tokens = [], set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore")  # of kfp's own
def test_one_run_per_incident_on_a_server(endpoint: str, tmp_path: Path) -> None:
    secret = Spec(state=StateSpec(ledger="postgresql://a:s3cret@db.example/db"))
    order = Order.of(secret, incident="inc-7", number=3, state=tmp_path)
    given: dict[str, Any] = {"endpoint": endpoint, "token": "t0ken", "namespace": None}
    first = submit(order, Build(claim="c"), **given)
    again = submit(order, Build(claim="c"), **given)
    assert first == {"run": "r0", "incident": "inc-7", "started": True}
    assert again == {**first, "started": False}
    [run] = Api.runs
    assert run["display_name"] == "hauberk-inc-7"
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["incident"], parameters["number"]) == ("inc-7", 3)
    assert parameters["state"] == "/var/lib/hauberk"
    assert "s3cret" not in json.dumps(run)
    assert any("t0ken" in one for one in Api.tokens)
    run["state"] = "FAILED"
    assert submit(order, Build(claim="c"), **given)["run"] == "r1"


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    order = Order.of(Spec(), incident="inc-7", number=1, state=tmp_path)
    with pytest.raises(EnvironmentFault, match="refused"):
        submit(order, Build(), endpoint="http://127.0.0.1:1", token="t", namespace=None)
