"""A model that is passed through: bodies flow both ways, and what breaks off never looks whole."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.adapters.local.log_home import existing_log
from hauberk.core.errors import ConfigError
from hauberk.testing.asking import CLIENT, OPERATOR, fake_gateway
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog
from hauberk.testing.gateway_process import start_gateway
from hauberk.testing.stream_server import answer_of, stream_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hauberk.testing.gateway_process import GatewayProcess

MIB = 2**20
BODY = bytes(range(256)) * (12 * MIB // 256)


def spec_of(url: str, **more: Any) -> dict[str, Any]:
    upstream = {"url": url, "inspect": False, "model": "inner", "timeout": 1.0, "retries": 0}
    limits = {"max_answer_bytes": 24 * MIB, "stream_seconds": 20.0, "failures": 100}
    return {
        "upstream": {**upstream, **limits},
        "serve": {"grpc_port": None, "max_body_bytes": 16 * MIB},
        "seal": {"keep": "payloads"},
        "quota": {"bytes_per_second": 1e9, "concurrent": 8},
        **more,
    }


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with stream_server() as url:
        yield url


@pytest.fixture(scope="module")
def gateway(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    made = start_gateway(tmp_path_factory.mktemp("passing"), spec_of(upstream))
    yield made
    made.stop()


def ask(
    gateway: GatewayProcess, version: str, body: Any = BODY, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request; raises what the standard library does of an answer that is not whole."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=15)
    given = {"Authorization": f"Bearer {CLIENT}", "Content-Type": "application/octet-stream"}
    path = f"/v2/models/m/versions/{version}/infer"
    connection.request("POST", path, body=body, headers={**given, **headers})
    with closing(connection):
        response = connection.getresponse()
        return response, response.read()


def sealed(gateway: GatewayProcess, count: int = 1) -> list[dict[str, Any]]:
    """The facts of the last requests of the client's."""
    time.sleep(0.3)
    facts = [one.facts for one in existing_log(gateway.state).read() if one.facts]
    return [one for one in facts if one["action"] == "infer"][-count:]


@pytest.mark.parametrize("version", ["length-12000000", "chunked-12000000"])
@pytest.mark.parametrize("chunked", [True, False])
def test_large_bodies_flow_both_ways(gateway: GatewayProcess, version: str, chunked: bool) -> None:
    pieces = (BODY[start : start + 100_000] for start in range(0, len(BODY), 100_000))
    response, got = ask(gateway, version, pieces if chunked else BODY)
    assert response.status == 200
    assert got == answer_of(12_000_000)
    assert response.headers["content-encoding"] == hashlib.sha256(BODY).hexdigest()
    assert ("content-length" in response.headers) == version.startswith("length")
    fact = sealed(gateway)[0]
    assert fact["code"] == 200
    assert (fact["request_bytes"], fact["answer_bytes"]) == (len(BODY), 12_000_000)
    assert fact["request_digest"] == "sha256:" + hashlib.sha256(BODY).hexdigest()
    assert fact["answer_digest"] == "sha256:" + hashlib.sha256(got).hexdigest()
    assert "request" not in fact


def test_small_ones_are_sealed_as_they_are(gateway: GatewayProcess) -> None:
    response, got = ask(gateway, "length-5", b"{}")
    assert (response.status, got) == (200, answer_of(5))
    fact = sealed(gateway)[0]
    assert (fact["request"], fact["answer"]) == ("e30=", "AAECAwQ=")


@pytest.mark.parametrize(
    ("version", "code"),
    [("cut-8000000", 503), ("cutchunked-8000000", 503), ("reset-8000000", 503), ("stall-9", 504)],
)
def test_an_answer_that_breaks_off_never_looks_whole(
    gateway: GatewayProcess, version: str, code: int
) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(gateway, version, b"{}")
    fact = sealed(gateway)[0]
    assert fact["code"] == code
    assert fact["answer_bytes"] < int(version.partition("-")[2])
    assert ask(gateway, "length-5", b"{}")[0].status == 200, "others are served on"


def test_an_answer_over_the_limit_is_refused_or_cut(gateway: GatewayProcess) -> None:
    assert ask(gateway, "length-30000000", b"{}")[0].status == 502
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(gateway, "chunked-30000000", b"{}")
    assert sealed(gateway)[0]["answer_bytes"] <= 24 * MIB


@pytest.mark.parametrize(
    ("version", "status"),
    [("hang-1", 504), ("error-1", 503), ("refuse-1", 400), ("page-1", 502), ("..", 404)],
)
def test_what_never_began_has_its_code(gateway: GatewayProcess, version: str, status: int) -> None:
    response, got = ask(gateway, version, b"{}")
    assert response.status == status
    assert "error" in json.loads(got)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_over_the_limit_is_refused(gateway: GatewayProcess, chunked: bool) -> None:
    long = b"0" * (17 * MIB)
    response, _ = ask(gateway, "length-1", iter([long]) if chunked else long)
    assert response.status == 413


def test_a_client_that_leaves_is_noted(gateway: GatewayProcess) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as half:
        half.sendall(head_of("length-1", 10 * MIB) + bytes(MIB))
        time.sleep(0.3)
    fact = sealed(gateway)[0]
    assert fact["code"] == 499
    assert 0 < fact["request_bytes"] <= MIB
    with socket.create_connection(("127.0.0.1", gateway.port)) as half:
        half.sendall(head_of("length-20000000", 2) + b"{}")
        half.recv(MIB)
    fact = sealed(gateway)[0]
    assert fact["code"] == 499
    assert fact["answer_bytes"] < 20_000_000


def test_a_client_that_reads_slowly_holds_the_upstream_back(gateway: GatewayProcess) -> None:
    before = resident(gateway)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        slow.connect(("127.0.0.1", gateway.port))
        slow.sendall(head_of("length-23000000", 2) + b"{}")
        time.sleep(0.7)
        assert resident(gateway) - before < 8, "the answer is not taken before it can be given"
        got = 0
        while got < 23_000_000 and (piece := slow.recv(MIB)):
            got += len(piece)
    assert got >= 23_000_000


def test_a_slow_upstream_takes_its_time(gateway: GatewayProcess) -> None:
    response, got = ask(gateway, "slow-1500000", b"{}")
    assert response.status == 200
    assert got == answer_of(1_500_000)


def test_access_and_quotas_hold(gateway: GatewayProcess) -> None:
    assert ask(gateway, "length-1", b"{}", Authorization="Bearer nobody")[0].status == 401
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
    for path, status in (
        ("/v2/models/m", 200),
        ("/v2/models/m/versions/length-1", 200),
        ("/v2/models/m/ready", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/other", 404),
        ("/v2/models/m/stats", 404),
        ("/v1/models/m", 404),
    ):
        connection.request("GET", path, headers={"Authorization": f"Bearer {CLIENT}"})
        response = connection.getresponse()
        told = json.loads(response.read())
        assert response.status == status, path
        assert told.get("name", "m") == "m"
    connection.request(
        "PUT",
        "/v2/hauberk/routing",
        body='{"primary": "sha256:' + "0" * 64 + '"}',
        headers={"Authorization": f"Bearer {OPERATOR}"},
    )
    assert connection.getresponse().status == 409
    connection.close()


def test_a_quota_of_bytes_counts_what_is_announced(upstream: str, tmp_path: Path) -> None:
    made = start_gateway(
        tmp_path, spec_of(upstream, quota={"bytes_per_second": 1e5, "burst": 100.0})
    )
    try:
        assert ask(made, "length-1", bytes(9 * MIB))[0].status == 200
        response, _ = ask(made, "length-1", bytes(9 * MIB))
        assert response.status == 429
        assert int(response.headers["retry-after"]) > 0
    finally:
        made.stop()


def test_without_an_upstream_it_is_not_ready(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    made = start_gateway(tmp_path, spec_of(url))
    try:
        assert ask(made, "length-1", b"{}")[0].status == 503
        connection = http.client.HTTPConnection("127.0.0.1", made.port)
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 503
        connection.close()
    finally:
        made.stop()


@pytest.mark.parametrize(
    "more",
    [
        {"serve": {"sanitise": ["median"]}},
        {"serve": {"top_k": 1}},
        {"serve": {"grpc_port": 9000}},
        {"quota": {"rows_per_day": 5.0}},
    ],
)
def test_what_needs_the_tensors_is_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    spec = {"upstream": {"url": "http://127.0.0.1:1", "inspect": False}, **more}
    with pytest.raises(ConfigError, match="needs the tensors"):
        fake_gateway(tmp_path / "state", FakeWorld(tmp_path), MemoryLog(), spec=spec)


FIELDS = st.sampled_from(
    [
        b"Content-Length: 7",
        b"Content-Length: 1",
        b"Content-Length: 99999999999",
        b"Content-Length: -1",
        b"Content-Length: 7, 7",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Expect: 100-continue",
        b"Content-Encoding: br",
        b"Content-Encoding: gzip",
        b"Content-Type: text/html",
        b"Inference-Header-Content-Length: x",
        b"Connection: close",
        b"X-A: \xff\xfe",
    ]
)
VERSIONS = st.sampled_from(["length-5", "chunked-70000", "cut-9", "%2e%2e", "a%0d%0ab", "error-1"])
BODIES = st.sampled_from(
    [b"", b"1234567", b"3\r\nabc\r\n0\r\n\r\n", b"zz\r\n", b"7\r\n1", b"\x00" * 90]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(FIELDS, max_size=4), VERSIONS, BODIES)
def test_hostile_requests_are_refused_and_nothing_breaks(
    gateway: GatewayProcess, fields: list[bytes], version: str, body: bytes
) -> None:
    head = f"POST /v2/models/m/versions/{version}/infer HTTP/1.1\r\nHost: x\r\n".encode()
    lines = [f"Authorization: Bearer {CLIENT}".encode(), *fields]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as rude:
        rude.sendall(head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body)
        rude.shutdown(socket.SHUT_WR)
        got = b""
        with suppress(ConnectionResetError):
            while piece := rude.recv(MIB):
                got += piece
    codes = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", got)]
    assert set(codes) <= {100, 200, 400, 404, 408, 413, 415, 502, 503, 504}, got[:300]
    assert gateway.process.poll() is None


def head_of(version: str, length: int) -> bytes:
    return (
        f"POST /v2/models/m/versions/{version}/infer HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {CLIENT}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def resident(gateway: GatewayProcess) -> float:
    """Resident memory in MiB."""
    with open(f"/proc/{gateway.process.pid}/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))
