"""The gateway against the Open Inference Protocol V2, and against request bodies in the wild."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hauberk.core.model import Bounds
from hauberk.core.ports import Routing
from hauberk.testing.asking import CLIENT, HEADER, ask, binary_body, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

BODIES = Path(__file__).parents[2] / ".." / "shared" / "data" / "oip-kserve" / "kserve-e2e"
INFER = "/v2/models/m/infer"
# Required fields, from the schemas of rest_predict_v2.yaml.
SERVER = {"name", "version", "extensions"}
MODEL = {"name", "platform"}
TENSOR = {"name", "datatype", "shape"}
RESPONSE = {"model_name", "outputs"}
OUTPUT = {"name", "shape", "datatype", "data"}
# The bodies that ask a model of four numbers, as the iris models do, for what we can answer.
IRIS = {
    "iris_input_v2.json",
    "iris_input_v2_all_binary.json",
    "iris_input_v2_binary.json",
    "pmml-input-v2.json",
}


def gateway_of(folder: Path, shape: tuple[int, ...] = (4,), **spec: Any) -> Any:
    world = FakeWorld(folder, bounds=Bounds(0.0, 10.0))
    routing = Routing(primary=world.linear(shape))
    return fake_gateway(folder / "s", world, MemoryLog(), routing=routing, spec=spec)


@pytest.fixture
def gateway(tmp_path: Path) -> Any:
    return gateway_of(tmp_path)


def bodies() -> list[Any]:
    files = sorted(BODIES.glob("*.json")) if BODIES.is_dir() else []
    if not files:
        skip = pytest.mark.skip(reason=f"no request bodies: {BODIES} is absent")
        return [pytest.param(Path("absent"), marks=skip)]
    return [pytest.param(file, id=file.name) for file in files]


@pytest.mark.parametrize("file", bodies())
def test_a_body_from_the_wild_is_answered_or_refused_with_a_reason(
    gateway: Any, file: Path
) -> None:
    response = ask(gateway, "POST", INFER, content=file.read_bytes())
    if file.name in IRIS:
        assert response.status_code == 200, response.text
        return
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert 0 < len(response.json()["error"]) < 400


@pytest.mark.skipif(not BODIES.is_dir(), reason=f"no request bodies: {BODIES} is absent")
def test_an_image_body_from_the_wild_is_answered(tmp_path: Path) -> None:
    body = json.loads((BODIES / "torchserve_input_v2.json").read_bytes())
    shape = tuple(body["inputs"][0]["shape"][1:])
    response = ask(gateway_of(tmp_path, shape), "POST", INFER, json=body)
    assert response.status_code == 200, response.text
    assert response.json()["id"] == body["id"]


def test_health_needs_no_body_and_no_token(gateway: Any) -> None:
    for path in ("live", "ready"):
        assert ask(gateway, "GET", f"/v2/health/{path}", token=None).status_code == 200


def test_metadata_has_the_required_fields(gateway: Any) -> None:
    server = ask(gateway, "GET", "/v2/").json()
    assert server.keys() >= SERVER
    assert "binary_tensor_data" in server["extensions"]
    model = ask(gateway, "GET", "/v2/models/m").json()
    assert model.keys() >= MODEL
    for tensor in (*model["inputs"], *model["outputs"]):
        assert tensor.keys() >= TENSOR
        assert all(isinstance(size, int) for size in tensor["shape"])
    (version,) = model["versions"]
    for path in ("", "/ready"):
        assert ask(gateway, "GET", f"/v2/models/m/versions/{version}{path}").status_code == 200


def test_what_the_metadata_promises_is_what_comes(gateway: Any) -> None:
    meta = ask(gateway, "GET", "/v2/models/m").json()
    x = np.full((3, *meta["inputs"][0]["shape"][1:]), 0.5, np.float32)
    body = json_body(x, outputs=[{"name": one["name"]} for one in meta["outputs"]])
    answer = ask(gateway, "POST", INFER, json=body).json()
    assert answer.keys() >= RESPONSE
    assert answer["model_version"] == meta["versions"][0]
    for promised, output in zip(meta["outputs"], answer["outputs"], strict=True):
        assert output.keys() >= OUTPUT
        assert (output["name"], output["datatype"]) == (promised["name"], promised["datatype"])
        assert output["shape"] == [3, *promised["shape"][1:]]
        assert len(output["data"]) == np.prod(output["shape"])


@pytest.mark.parametrize("extra", [{}, {"id": "42"}, {"parameters": {"priority": 3, "tag": "a"}}])
def test_optional_fields_are_optional(gateway: Any, extra: dict[str, Any]) -> None:
    x = np.full((2, 4), 0.5, np.float32)
    answer = ask(gateway, "POST", INFER, json=json_body(x, **extra)).json()
    assert answer["id"] == extra.get("id", answer["id"])
    assert answer["id"]


def test_nested_flat_and_binary_data_mean_the_same(gateway: Any) -> None:
    x = np.random.default_rng(0).uniform(0, 10, size=(5, 4)).astype(np.float32)
    flat = json_body(x)
    nested = json_body(x)
    nested["inputs"][0]["data"] = x.tolist()
    content, headers = binary_body(x)
    answers = [
        ask(gateway, "POST", INFER, json=flat),
        ask(gateway, "POST", INFER, json=nested),
        ask(gateway, "POST", INFER, content=content, headers=headers),
    ]
    logits = [answer.json()["outputs"] for answer in answers]
    assert logits[0] == logits[1] == logits[2]


@pytest.mark.parametrize(
    ("default", "choice", "is_binary"),
    [
        (None, None, False),
        (True, None, True),
        (False, True, True),
        (True, False, False),
        (None, True, True),
    ],
)
def test_each_output_is_in_the_form_that_was_chosen(
    gateway: Any, default: bool | None, choice: bool | None, is_binary: bool
) -> None:
    x = np.full((2, 4), 0.5, np.float32)
    parameters = {} if default is None else {"parameters": {"binary_data_output": default}}
    chosen = {} if choice is None else {"parameters": {"binary_data": choice}}
    body = json_body(x, outputs=[{"name": "logits", **chosen}], **parameters)
    response = ask(gateway, "POST", INFER, json=body)
    expected = ask(gateway, "POST", INFER, json=json_body(x)).json()["outputs"][0]["data"]
    if not is_binary:
        assert HEADER.lower() not in response.headers
        assert response.headers["content-type"] == "application/json"
        assert response.json()["outputs"][0]["data"] == expected
        return
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[HEADER])
    head = json.loads(response.content[:length])
    raw = response.content[length:]
    assert head["outputs"][0]["parameters"]["binary_data_size"] == len(raw) == 24
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), np.array(expected, np.float32))


def test_a_version_in_the_path_is_held_to(gateway: Any) -> None:
    x = np.full((1, 4), 0.5, np.float32)
    (version,) = ask(gateway, "GET", "/v2/models/m").json()["versions"]
    path = "/v2/models/m/versions/{}/infer"
    assert ask(gateway, "POST", path.format(version), json=json_body(x)).status_code == 200
    assert ask(gateway, "POST", path.format("1"), json=json_body(x)).status_code == 404


def test_errors_are_objects_with_an_error(gateway: Any) -> None:
    for response in (
        ask(gateway, "GET", "/v2/models/other"),
        ask(gateway, "POST", INFER, content=b"{"),
        ask(gateway, "GET", "/v2", token=CLIENT + "x"),
    ):
        assert response.headers["content-type"] == "application/json"
        assert list(response.json()) == ["error"]
        assert isinstance(response.json()["error"], str)
