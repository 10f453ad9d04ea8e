from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.core.model import Bounds
from hauberk.core.ports import Routing
from hauberk.faces.gateway.limits import Limits
from hauberk.testing.asking import (
    CLIENT,
    HEADER,
    OPERATOR,
    ask,
    binary_body,
    fake_gateway,
    json_body,
)
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx
    from numpy.typing import NDArray

    from hauberk.faces.gateway.compose import Gateway
    from hauberk.testing.gateway_bench import Bench

INFER = "/v2/models/m/infer"


@pytest.fixture
def small(tmp_path: Path) -> Gateway:
    """A gateway of tight limits: 4 kB, 4 rows, values in [0, 1]."""
    world = FakeWorld(tmp_path)
    routing = Routing(primary=world.linear((1, 2, 3)))
    spec = {"serve": {"max_body_bytes": 4096, "max_rows": 4}}
    gateway = fake_gateway(tmp_path / "s", world, MemoryLog(), routing=routing, spec=spec)
    gateway.app.control.limits = replace(gateway.limits, body_seconds=0.05)
    return gateway


def rows(n: int, fill: float = 0.5) -> NDArray[np.float32]:
    return np.full((n, 1, 2, 3), fill, dtype=np.float32)


def tensor(**changes: Any) -> dict[str, Any]:
    body = json_body(rows(1))
    body["inputs"][0].update(changes)
    return body


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("too many rows", json_body(rows(5)), "1 to 4 rows"),
    ("no row", json_body(rows(0)), "1 to 4 rows"),
    ("another shape", json_body(np.zeros((1, 6), np.float32)), "expected shape"),
    ("no batch", json_body(np.zeros((1, 2, 3), np.float32)), "expected shape"),
    ("another type", tensor(datatype="FP64"), "float32"),
    ("bytes", tensor(datatype="BYTES"), "not supported"),
    ("out of range", json_body(rows(1, 1.01)), "outside"),
    ("below range", json_body(rows(1, -0.01)), "outside"),
    ("overflow", tensor(data=[1e39] * 6), "infinity"),
    ("another name", tensor(name="y"), "one input named"),
    ("two inputs", {"inputs": [*tensor()["inputs"], *tensor(name="z")["inputs"]]}, "one input"),
    ("unknown output", json_body(rows(1), outputs=[{"name": "secret"}]), "no such output"),
]


@pytest.mark.parametrize(("body", "why"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_a_bad_tensor_is_a_400_and_reaches_no_monitor(
    small: Gateway, body: dict[str, Any], why: str
) -> None:
    response = ask(small, "POST", INFER, json=body)
    assert response.status_code == 400
    assert why in response.json()["error"]
    assert len(small.tap) == 0


def test_nan_in_a_binary_tensor_is_a_400(small: Gateway) -> None:
    for value in (np.nan, np.inf, -np.inf):
        content, headers = binary_body(rows(1, value))
        response = ask(small, "POST", INFER, content=content, headers=headers)
        assert response.status_code == 400
        assert "NaN or an infinity" in response.json()["error"]


def raw(headers: dict[str, str], content: bytes) -> Callable[[Gateway], httpx.Response]:
    return lambda gateway: ask(gateway, "POST", INFER, headers=headers, content=content)


GOOD, GOOD_HEADERS = binary_body(rows(1))
HTTP = [
    ("announced too long", raw({}, b"x" * 4097), 413),
    ("brotli", raw({"Content-Encoding": "br"}, b"{}"), 415),
    ("no gzip", raw({"Content-Encoding": "gzip"}, b"{}"), 400),
    ("cut gzip", raw({"Content-Encoding": "gzip"}, gzip.compress(b"{}")[:-1]), 400),
    ("gzip and more", raw({"Content-Encoding": "gzip"}, gzip.compress(b"{}") + b"x"), 400),
    ("gzip bomb", raw({"Content-Encoding": "gzip"}, gzip.compress(b" " * 10**6)), 413),
    ("deflate bomb", raw({"Content-Encoding": "deflate"}, zlib.compress(b" " * 10**6)), 413),
    ("form", raw({"Content-Type": "application/x-www-form-urlencoded"}, b"{}"), 415),
    ("multipart", raw({"Content-Type": "multipart/form-data; boundary=x"}, b"{}"), 415),
    ("no number", raw({"Content-Length": "4_0"}, b"{}"), 400),
    ("negative", raw({"Content-Length": "-1"}, b"{}"), 400),
    ("header length of no number", raw({**GOOD_HEADERS, HEADER: "0x10"}, GOOD), 400),
    ("header length beyond the body", raw({**GOOD_HEADERS, HEADER: "4000"}, GOOD), 400),
    ("header length too short", raw({**GOOD_HEADERS, HEADER: "20"}, GOOD), 400),
    ("raw bytes too few", raw(GOOD_HEADERS, GOOD[:-1]), 400),
    ("raw bytes too many", raw(GOOD_HEADERS, GOOD + b"\0"), 400),
    ("no body", raw({}, b""), 400),
    ("not JSON", raw({}, b"\x80\x04\x95"), 400),
    ("deep", raw({}, b'{"inputs":' + b"[" * 4000), 400),
    ("long headers", raw({"X-Long": "y" * 40_000}, b"{}"), 413),
    ("as it should be", raw(GOOD_HEADERS, GOOD), 200),
]


@pytest.mark.parametrize(("send", "code"), [case[1:] for case in HTTP], ids=[c[0] for c in HTTP])
def test_what_is_wrong_about_http_gets_its_code(
    small: Gateway, send: Callable[[Gateway], httpx.Response], code: int
) -> None:
    response = send(small)
    assert response.status_code == code, response.text
    assert code == 200 or list(response.json()) == ["error"]


def test_a_streamed_body_is_cut_off_at_the_limit(small: Gateway) -> None:
    async def endless() -> Any:
        for _ in range(50):
            yield b" " * 1000

    assert ask(small, "POST", INFER, content=endless()).status_code == 413


def drive(gateway: Gateway, messages: Iterator[dict[str, Any]], **headers: str) -> int | None:
    """Drive the application with messages of our own; then the client is silent."""

    async def go() -> int | None:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        pairs = [(b"authorization", f"Bearer {CLIENT}".encode())]
        pairs += [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()]
        scope = {"type": "http", "method": "POST", "path": INFER, "headers": pairs}
        await gateway.app(scope, receive, send)
        return sent[0]["status"] if sent else None

    return asyncio.run(go())


def test_a_slow_body_is_given_up(small: Gateway) -> None:
    part = {"type": "http.request", "body": b"{", "more_body": True}
    assert drive(small, iter([part]), content_length="100") == 408


def test_a_client_that_went_away_is_not_answered(small: Gateway) -> None:
    assert drive(small, iter([{"type": "http.disconnect"}])) is None


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INFER, "POST"),
        ("DELETE", "/v2/hauberk/routing", "GET, PUT"),
        ("POST", "/v2/models/m", "GET"),
        ("POST", "/v2", "GET"),
        ("PUT", "/v2/health/live", "GET"),
        ("POST", "/metrics", "GET"),
    ],
)
def test_another_method_is_a_405(bench: Bench, method: str, path: str, allowed: str) -> None:
    response = ask(bench.gateway, method, path, token=OPERATOR)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/m/versions/000000000000", "/v2/models/m/versions"]
)
def test_another_model_or_version_is_a_404(bench: Bench, path: str) -> None:
    assert ask(bench.gateway, "GET", path).status_code == 404


def test_a_full_queue_is_a_503_that_says_when_to_come_back(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    workers = bench.gateway.workers
    workers.busy = bench.gateway.limits.threads + bench.gateway.limits.queue
    response = bench.infer(rows[:1])
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    workers.busy = 0
    assert bench.infer(rows[:1]).status_code == 200
    assert workers.busy == 0


def test_the_spec_sets_the_limits() -> None:
    from hauberk.core.spec import ServeSpec, Spec

    limits = Limits.of(Spec(serve=ServeSpec(max_body_bytes=7, max_rows=3)))
    assert (limits.body_bytes, limits.rows) == (7, 3)


def test_the_range_is_the_models_own(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path, bounds=Bounds(-2.0, 3.0))
    routing = Routing(primary=world.linear((2,)))
    gateway = fake_gateway(tmp_path / "s", world, MemoryLog(), routing=routing)
    for value, code in ((-2.0, 200), (3.0, 200), (3.1, 400), (-2.1, 400)):
        body = json_body(np.full((1, 2), value, np.float32))
        assert ask(gateway, "POST", INFER, content=json.dumps(body)).status_code == code
