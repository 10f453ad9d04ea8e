"""Clients that are slow, endless or rude, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hauberk.core.spec import parse_spec
from hauberk.faces.gateway.exchange import Answer
from hauberk.faces.gateway.limits import Limits
from hauberk.faces.gateway.listen import listen, reachable
from hauberk.faces.gateway.meters import Meters
from hauberk.faces.gateway.protocol import bounded
from hauberk.faces.gateway.server import _Server, config_of
from hauberk.faces.gateway.workers import Workers
from hauberk.testing.asking import CLIENT, json_body
from hauberk.testing.gateway_bench import SHAPE, Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hauberk.faces.gateway.exchange import Call

AUTH = f"Authorization: Bearer {CLIENT}\r\n".encode()
GET = b"GET /v2 HTTP/1.1\r\nHost: h\r\n" + AUTH


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A gateway on a thread, with short timeouts: headers 4 kB in 0.3 s, bodies 4 kB in 0.3 s."""
    folder: Path = tmp_path_factory.mktemp("connections")
    bench = Bench.make(folder)
    limits = replace(
        bench.gateway.limits,
        header_bytes=4096,
        header_seconds=0.3,
        body_bytes=4096,
        body_seconds=0.3,
    )
    gateway = replace(bench.gateway, limits=limits)
    gateway.app.control.limits = limits
    spec = parse_spec({})
    sock = listen("127.0.0.1", 0)
    server = _Server(config_of(gateway, spec), gateway, spec, folder)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
    thread.start()
    yield sock.getsockname()[1]
    server.stop()
    thread.join(10)
    gateway.workers.close()


def talk(port: int, *parts: bytes, pause: float = 0.0, wait: float = 2.0) -> bytes:
    """Send the parts with pauses between them; what comes back until the end, or for a while."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause)
        try:
            while more := connection.recv(65536):
                got += more
        except TimeoutError:
            return got + b"<still open>"
        except ConnectionResetError:
            return got
    return got


def test_an_ordinary_request_keeps_its_connection(port: int) -> None:
    got = talk(port, GET + b"\r\n", GET + b"\r\n", pause=0.1, wait=0.5)
    assert got.count(b"HTTP/1.1 200") == 2
    assert got.endswith(b"<still open>")


@pytest.mark.parametrize("last", ["GET", "POST"])
def test_a_connection_that_was_answered_and_is_idle_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    set_up = HttpToolsProtocol.connection_made

    def hasty(self: Any, transport: Any) -> None:
        set_up(self, transport)
        self.timeout_keep_alive = 0.5

    monkeypatch.setattr(HttpToolsProtocol, "connection_made", hasty)
    begun = time.monotonic()
    parts = [C, C, GET + b"\r\n"] if last == "GET" else [C, GET + b"\r\n", C]
    got = talk(port, *parts, pause=0.3, wait=3.0)
    assert got.count(b"HTTP/1.1 200") == 3, "it was in use for longer than it may be idle"
    assert not got.endswith(b"<still open>")
    assert 0.9 <= time.monotonic() - begun < 2.5


def asked(name: str, *headers: bytes, form: bytes = b"1.1") -> bytes:
    """An inference of one row in JSON, under this id."""
    body = json.dumps(json_body(np.full((1, *SHAPE), 0.5, np.float32), id=name)).encode()
    head = b"POST /v2/models/m/infer HTTP/" + form + b"\r\nHost: h\r\n" + AUTH
    fields = b"".join(one + b"\r\n" for one in (*headers, b"Content-Length: %d" % len(body)))
    return head + fields + b"\r\n" + body


C = asked("c")


def ids(got: bytes) -> list[str]:
    return [found.decode() for found in re.findall(rb'"id":"([a-z]+)"', got)]


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "on a thread"])
@pytest.mark.parametrize(
    "parts",
    [
        [asked("a") + asked("b") + GET + b"\r\n" + asked("c")],
        [asked("a"), asked("b"), GET + b"\r\n", asked("c")],
        [asked("a")[:-9], asked("a")[-9:] + asked("b")[:9], asked("b")[9:] + GET, b"\r\n" + C],
        [GET + b"\r\n" + asked("a") + asked("b")[:-1], asked("b")[-1:] + asked("c")],
    ],
    ids=["in one piece", "one by one", "cut anywhere", "behind another"],
)
def test_answers_come_in_the_order_of_their_requests(
    port: int, parts: list[bytes], waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if waits:
        monkeypatch.setattr(Workers, "run", _elsewhere)
    got = talk(port, *parts, pause=0.05, wait=0.5)
    assert ids(got) == ["a", "b", "c"]
    assert got.count(b"HTTP/1.1 200 OK") == 4
    assert got.endswith(b"<still open>")


async def _elsewhere(self: Workers, call: Callable[[], Any], *, small: bool = False) -> Any:
    """Never on the event loop."""
    del self, small
    return await asyncio.to_thread(call)


@pytest.mark.parametrize(
    "target", [b"http://h/v2/models/m/infer", b"/v2/models/%6d/infer?a=b", b"/v2/models/m/infer#c"]
)
def test_a_path_may_be_written_otherwise(port: int, target: bytes) -> None:
    request_ = asked("a").replace(b"/v2/models/m/infer", target, 1)
    assert ids(talk(port, request_, wait=0.3)) == ["a"]


@pytest.mark.parametrize(
    "request_", [asked("a", b"Connection: close"), asked("a", form=b"1.0")], ids=["1.1", "1.0"]
)
def test_a_connection_that_is_to_end_ends_with_its_answer(port: int, request_: bytes) -> None:
    got = talk(port, request_)
    assert ids(got) == ["a"]
    assert b"connection: close" in got
    assert not got.endswith(b"<still open>")


def test_an_answer_that_cannot_be_counted_is_a_500(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> None:
        raise RuntimeError(given)

    monkeypatch.setattr(Meters, "answered", broken)
    got = talk(port, asked("a"))
    assert got.startswith(b"HTTP/1.1 500")
    assert b"RuntimeError" not in got


def test_headers_that_trickle_are_cut_off(port: int) -> None:
    begun = time.monotonic()
    got = talk(port, *[bytes([byte]) for byte in GET * 5], pause=0.02)
    assert got == b""
    assert time.monotonic() - begun < 10


def test_a_silent_connection_is_cut_off(port: int) -> None:
    assert talk(port) == b""


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.closed = b"", False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b"b" * 100_000,
        GET + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)),
    ],
    ids=["path", "one header", "many headers"],
)
def test_headers_without_end_are_refused_at_the_limit(tmp_path: Path, head: bytes) -> None:
    gateway = Bench.make(tmp_path).gateway
    gateway = replace(gateway, limits=replace(gateway.limits, header_bytes=4096))

    async def feed() -> tuple[int, Wire]:
        config = config_of(gateway, parse_spec({}))
        config.load()
        connection = bounded(gateway.limits)(config, ServerState(), {})
        wire = Wire()
        connection.connection_made(wire)
        fed = 0
        while fed < len(head) and not wire.closed:
            connection.data_received(head[fed : fed + 100])
            fed += 100
        connection.connection_lost(None)
        return fed, wire

    fed, wire = asyncio.run(feed())
    assert 4096 < fed <= 4200
    assert wire.sent.startswith(b"HTTP/1.1 400")


def test_long_headers_in_one_piece_are_refused(port: int) -> None:
    got = talk(port, GET + b"X: " + b"y" * 10_000 + b"\r\n\r\n", wait=0.5)
    assert got.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


def post(*headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\n" + AUTH + lines + b"\r\n"


def test_a_body_that_trickles_is_given_up(port: int) -> None:
    got = talk(port, post(b"Content-Length: 100"), *[b" "] * 40, pause=0.02)
    assert got.startswith(b"HTTP/1.1 408")
    assert b"<still open>" not in got


def test_a_body_over_the_limit_gets_its_answer(port: int) -> None:
    got = talk(port, post(b"Content-Length: 300000") + b" " * 300_000, wait=0.5)
    assert got.startswith(b"HTTP/1.1 413")
    assert got.endswith(b"<still open>"), (
        "the body was passed over, the connection is as good as new"
    )


def test_a_client_that_waits_for_consent_is_not_asked_for_a_long_body(port: int) -> None:
    got = talk(port, post(b"Content-Length: 300000", b"Expect: 100-continue"))
    assert got.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in got
    assert b"<still open>" not in got


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"nonsense\r\n\r\n",
        post(b"Content-Length: 5", b"Content-Length: 6") + b"{}",
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        post(b"Content-Length: -5"),
        post(b"Transfer-Encoding: chunked") + b"zz\r\n",
    ],
)
def test_what_is_no_http_is_a_400(port: int, request_: bytes) -> None:
    got = talk(port, request_, wait=1.0)
    assert got.startswith(b"HTTP/1.1 400"), got
    assert b"Traceback" not in got


def test_a_chunked_body_is_read(port: int) -> None:
    got = talk(port, post(b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n", wait=0.5)
    assert got.startswith(b"HTTP/1.1 400")
    assert b"not an inference request" in got


def test_an_upgrade_is_not_taken(port: int) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    got = talk(port, GET + upgrade, wait=0.5)
    assert b"101 Switching" not in got


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("localhost", "localhost"),
    ],
)
def test_how_this_machine_reaches_a_host(host: str, seen: str) -> None:
    assert reachable(host) == seen


class Echo:
    """An application that notes what it was asked, and answers at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def respond(self, call: Call) -> Answer:
        self.asked.append((call.path, bytes(call.whole or b""), call.headers.one(b"x")))
        return Answer(b"")


async def fed(pieces: list[bytes], *, forgetful: bool) -> tuple[list[tuple[Any, ...]], int, bool]:
    """What an application is asked by these pieces, how many answers go back, whether it ends."""
    app, wire = Echo(), Wire()
    config = uvicorn.Config(lambda _: None, lifespan="off")
    config.load()
    protocol: Any = bounded(Limits(), app)(config, ServerState(), {})
    protocol.connection_made(wire)
    for piece in pieces:
        if forgetful:
            protocol._last = None
        if not wire.closed:
            protocol.data_received(piece)
    protocol.connection_lost(None)
    return app.asked, wire.sent.count(b"HTTP/1.1 200"), wire.closed


HEADS = st.sampled_from(
    [
        b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: %d\r\n\r\n",
        b"\r\nPOST /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n",
        b"POST /c HTTP/1.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
        b"POST /d HTTP/1.1\nContent-Length: %d\n\n",
    ]
)
BODIES = st.sampled_from([b"", b"12", b"34", b"\r\n", b"\r\n\r\n", b"POST /a HTTP/1.1\r\n\r\n"])
EXTRA = st.sampled_from([b"", b"", b"", b"\r\n", b"P", b"\r\n\r\n"])


AGAIN = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"


@settings(max_examples=300, deadline=None)
@example([(AGAIN, b"12", b""), (AGAIN, b"12", b"P"), (AGAIN, b"12", b"")], 0)
@example([(AGAIN, b"\r\n", b"\r\n"), (AGAIN, b"\r\n", b"\r\n")], 0)
@given(st.lists(st.tuples(HEADS, BODIES, EXTRA), min_size=1, max_size=8), st.integers(0, 300))
def test_a_head_that_is_known_means_what_the_parser_reads(
    messages: list[tuple[bytes, bytes, bytes]], cut: int
) -> None:
    pieces = [head % len(body) + body + extra for head, body, extra in messages]
    if cut:
        whole = b"".join(pieces)
        pieces = [one for one in (whole[:cut], whole[cut:]) if one]

    async def both() -> None:
        assert await fed(pieces, forgetful=False) == await fed(pieces, forgetful=True)

    asyncio.run(both())
