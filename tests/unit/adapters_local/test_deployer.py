from __future__ import annotations

import json
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hauberk.adapters.local.deployer import GatewayDeployer
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, DataError, EnvironmentFault, HauberkError, Untrusted
from hauberk.core.ports import Routing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUTING = Routing(primary=digest_bytes(b"p"), twin=digest_bytes(b"t"), mode="contained")


class Gateway(ThreadingHTTPServer):
    """A gateway that keeps one routing; ``fail`` makes it answer with a status and a body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routing: bytes | None = None
        self.fail: tuple[int, bytes] | None = None
        self.calls: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self) -> None:
        self.server.calls.append(self.command)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v2/hauberk/routing":
            self.answer(404, b"{}")
        elif self.headers.get("authorization") != "Bearer secret-token":
            self.answer(401, b'{"error":"who are you?"}')
        elif self.server.fail:
            status, text = self.server.fail
            self.answer(status, text, location="http://127.0.0.1:9/")
        elif self.command == "PUT":
            self.server.routing = body
            self.answer(200, body)
        elif self.server.routing is None:
            self.answer(404, b'{"error":"none yet"}')
        else:
            self.answer(200, self.server.routing)

    do_GET = do_PUT = handle_any  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def state(tmp_path: Path, gateway: Gateway) -> Path:
    port = gateway.server_address[1]
    (tmp_path / "gateway.json").write_text(json.dumps({"port": port, "pid": 1}))
    return tmp_path


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_routing_comes_into_force(state: Path, gateway: Gateway) -> None:
    by_folder = GatewayDeployer(state, "secret-token")
    by_url = GatewayDeployer(f"http://127.0.0.1:{gateway.server_address[1]}/", "secret-token")
    assert by_folder.routing() is None
    by_folder.route(ROUTING)
    assert by_folder.routing() == by_url.routing() == ROUTING
    assert gateway.routing is not None
    assert msgspec.json.decode(gateway.routing, type=Routing) == ROUTING


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (409, Untrusted),
        (401, ConfigError),
        (403, ConfigError),
        (400, DataError),
        (404, EnvironmentFault),
        (500, EnvironmentFault),
        (503, EnvironmentFault),
        (307, EnvironmentFault),
    ],
)
def test_a_refusal_is_told_apart_and_not_tried_again(
    state: Path, gateway: Gateway, status: int, error: type[HauberkError]
) -> None:
    gateway.fail = (status, b'{"error":"HB-S003: revoked"}')
    with pytest.raises(error) as caught:
        GatewayDeployer(state, "secret-token").route(ROUTING)
    assert gateway.calls == ["PUT"]
    if status not in {401, 403}:
        assert "HB-S003: revoked" in caught.value.what
    assert "secret-token" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 5000, b'{"error":"\\u001b[2J"}'])
def test_an_odd_refusal_is_still_one_line(state: Path, gateway: Gateway, body: bytes) -> None:
    gateway.fail = (409, body)
    with pytest.raises(Untrusted) as caught:
        GatewayDeployer(state, "secret-token").route(ROUTING)
    assert str(caught.value).isprintable()


TOO_LONG = msgspec.json.encode(ROUTING) + b" " * 100_000


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"\xff", TOO_LONG])
def test_an_answer_that_is_no_routing_is_a_fault(
    state: Path, gateway: Gateway, body: bytes
) -> None:
    gateway.fail = (200, body)
    with pytest.raises(EnvironmentFault):
        GatewayDeployer(state, "secret-token").routing()


def test_no_routing_yet_may_be_null(state: Path, gateway: Gateway) -> None:
    gateway.fail = (200, b"null")
    assert GatewayDeployer(state, "secret-token").routing() is None


def test_a_wrong_token_is_a_matter_of_configuration(state: Path) -> None:
    with pytest.raises(ConfigError, match="token"):
        GatewayDeployer(state, "other-token").routing()


def test_a_gateway_that_starts_meanwhile_is_found(
    state: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "gateway.json").write_text(json.dumps({"port": closed_port(), "pid": 1}))

    def sleep(_: float) -> None:
        port = gateway.server_address[1]
        (state / "gateway.json").write_text(json.dumps({"port": port, "pid": 2}))

    monkeypatch.setattr(time, "sleep", sleep)
    GatewayDeployer(state, "secret-token").route(ROUTING)
    assert gateway.calls == ["PUT"]


def test_no_gateway_is_a_fault_after_a_few_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(EnvironmentFault, match="does not answer"):
        GatewayDeployer(f"http://127.0.0.1:{closed_port()}", "secret-token").route(ROUTING)
    assert 0 < sum(pauses) < 1
    with pytest.raises(EnvironmentFault, match="no gateway has started"):
        GatewayDeployer(tmp_path, "secret-token").routing()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"port":"x"}', '{"port":-1}', '{"port":99999}'])
def test_an_odd_address_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "gateway.json").write_text(text)
    with pytest.raises(HauberkError):
        GatewayDeployer(tmp_path, "secret-token").routing()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway",
        "file:///etc/passwd",
        "http://models.example.com",  # the token would travel in the clear
        "http://127.0.0.1.example.com",
        "http://user:pw@127.0.0.1",
        "https://[::1",
        "http://127.0.0.1:99999",
    ],
)
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        GatewayDeployer(url, "secret-token")


@pytest.mark.parametrize("token", ["", "a\nb", "é"])
def test_odd_tokens_are_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigError, match="token"):
        GatewayDeployer(tmp_path, token)


def test_the_token_is_not_in_the_repr(tmp_path: Path) -> None:
    assert "secret-token" not in repr(GatewayDeployer(tmp_path, "secret-token"))
