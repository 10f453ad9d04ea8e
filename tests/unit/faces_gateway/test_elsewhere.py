"""The gateway in front of a model that runs elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.testing.asking import CLIENT, OPERATOR, ask, binary_body, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog
from hauberk.testing.gateway_process import start_gateway
from hauberk.testing.upstream_server import CLASSES, SHAPE, UpstreamServer, expected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hauberk.faces.gateway.compose import Gateway

INFER = "/v2/models/m/infer"
X = np.random.default_rng(0).uniform(size=(3, *SHAPE)).astype(np.float32)


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    made = UpstreamServer()
    yield made
    made.close()


def gateway_over(folder: Path, server_url: str, **more: Any) -> Gateway:
    upstream = {"url": server_url, "model": "toy", "timeout": 0.5, "retries": 0, **more}
    gateway = fake_gateway(
        folder / "state", FakeWorld(folder), MemoryLog(), spec={"upstream": upstream}
    )
    gateway.restore()
    return gateway


def test_it_answers_as_the_upstream_does(server: UpstreamServer, tmp_path: Path) -> None:
    gateway = gateway_over(tmp_path, server.url)
    assert ask(gateway, "GET", "/v2/health/ready").status_code == 200
    told = ask(gateway, "GET", "/v2/models/m").json()
    assert told["inputs"][0]["shape"] == [-1, *SHAPE]
    assert told["platform"] == "upstream_v2"
    content, headers = binary_body(X)
    answer = ask(gateway, "POST", INFER, content=content, headers=headers).json()
    logits = np.array(answer["outputs"][0]["data"]).reshape(3, CLASSES)
    np.testing.assert_allclose(logits, expected(X), rtol=1e-5)
    assert answer["parameters"]["hauberk_digest"] == gateway.upstream
    assert gateway.pool.recheck() == {}


def test_inputs_are_checked_before_they_are_sent(server: UpstreamServer, tmp_path: Path) -> None:
    gateway = gateway_over(tmp_path, server.url)
    asked = len(server.asked)
    assert ask(gateway, "POST", INFER, json=json_body(X * 100)).status_code == 400
    assert ask(gateway, "POST", INFER, json=json_body(X), token=None).status_code == 401
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("hang", 504),
        ("reset", 503),
        ("cut", 503),
        ("garbage", 502),
        ("error", 503),
        ("refuse", 400),
    ],
)
def test_a_fault_has_its_code_and_no_details(
    server: UpstreamServer, tmp_path: Path, mode: str, status: int
) -> None:
    gateway = gateway_over(tmp_path, server.url)
    server.mode = mode
    answer = ask(gateway, "POST", INFER, json=json_body(X))
    assert answer.status_code == status
    assert "upstream" in answer.json()["error"]
    assert ("retry-after" in answer.headers) == (status in {503, 504})
    server.mode = "good"
    assert ask(gateway, "POST", INFER, json=json_body(X)).status_code == 200


def test_an_open_circuit_answers_at_once(server: UpstreamServer, tmp_path: Path) -> None:
    gateway = gateway_over(tmp_path, server.url, failures=2)
    server.mode = "error"
    codes = [ask(gateway, "POST", INFER, json=json_body(X)).status_code for _ in range(4)]
    assert codes == [503] * 4
    assert len(server.asked) == 1 + 2, "one to warm up, two that failed"


def test_one_that_is_down_at_first_is_found_later(tmp_path: Path) -> None:
    server = UpstreamServer()
    server.close()
    gateway = gateway_over(tmp_path, server.url)
    assert ask(gateway, "GET", "/v2/health/ready").status_code == 503
    assert ask(gateway, "POST", INFER, json=json_body(X)).status_code == 503
    assert gateway.pool.may_return
    again = UpstreamServer(port=server.port)
    try:
        gateway.restore()
        assert ask(gateway, "POST", INFER, json=json_body(X)).status_code == 200
    finally:
        again.close()


def test_another_upstream_is_another_model(server: UpstreamServer, tmp_path: Path) -> None:
    first = gateway_over(tmp_path, server.url).upstream
    other = gateway_over(tmp_path, server.url, version="2")
    assert other.upstream != first
    lineup = other.pool.lineup
    assert lineup is not None
    assert lineup.primary.digest == other.upstream


@pytest.mark.parametrize("protocol", ["v2", "v2-grpc"])
def test_a_gateway_is_an_upstream_of_another(tmp_path: Path, protocol: str) -> None:
    if protocol == "v2-grpc":
        pytest.importorskip("grpc", reason="the grpc extra is not installed")
    inner = start_gateway(tmp_path / "inner")
    token = tmp_path / "token"
    token.write_text(CLIENT)
    try:
        url = inner.url if protocol == "v2" else f"grpc://127.0.0.1:{inner.grpc_port}"
        fields = {"protocol": protocol, "model": "m", "token_file": str(token), "timeout": 5.0}
        gateway = gateway_over(tmp_path, url, **fields)
        x = np.full((2, 1, 2, 3), 0.5, np.float32)
        answer = ask(gateway, "POST", INFER, json=json_body(x))
        assert answer.status_code == 200, answer.text
        assert np.shape(answer.json()["outputs"][0]["data"]) == (6,)
        inner.stop()
        assert ask(gateway, "POST", INFER, json=json_body(x)).status_code == 503
        status = ask(gateway, "GET", "/v2/hauberk/status", token=OPERATOR).json()
        assert status["upstream"] == "closed"
    finally:
        inner.stop()
