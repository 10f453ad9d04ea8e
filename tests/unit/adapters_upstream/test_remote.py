"""Upstreams over real sockets: each protocol, and everything that can go wrong with a server."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.adapters.upstream.remote import RemoteModel
from hauberk.adapters.upstream.trouble import Trouble
from hauberk.core.errors import ConfigError
from hauberk.core.spec import UpstreamSpec
from hauberk.testing.upstream_server import CLASSES, SHAPE, UpstreamServer, expected

if TYPE_CHECKING:
    from collections.abc import Iterator

X = np.random.default_rng(0).uniform(size=(5, *SHAPE)).astype(np.float32)
REQUEST = '{"data": {"rows": "$rows", "unit": 1}}'


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    made = UpstreamServer()
    yield made
    made.close()


def remote(server: UpstreamServer, **more: Any) -> RemoteModel:
    fields = {"url": server.url, "model": "toy", "timeout": 1.0, **more}
    return RemoteModel(UpstreamSpec(**fields))


@pytest.mark.parametrize("protocol", ["v2", "tensorflow", "json"])
@pytest.mark.parametrize("gives", ["logits", "probabilities", "labels"])
def test_each_protocol_and_kind_of_output(protocol: Any, gives: Any) -> None:
    server = UpstreamServer(gives=gives)
    try:
        told: dict[str, Any] = {} if protocol != "json" else {"shape": SHAPE, "request": REQUEST}
        if protocol == "json":
            told["url"] = f"{server.url}/score?v=1"
        if gives == "labels":
            told["classes"] = CLASSES
        model = remote(server, protocol=protocol, gives=gives, **told)
        assert (model.input_shape, model.classes) == (SHAPE, CLASSES)
        logits = model(X)
        assert (logits.dtype.name, logits.shape) == ("float32", (5, CLASSES))
        if gives == "logits":
            np.testing.assert_allclose(logits, expected(X), rtol=1e-5)
        assert (logits.argmax(1) == expected(X).argmax(1)).all()
    finally:
        server.close()


@pytest.mark.parametrize("binary", [True, False])
def test_v2_tensors_go_raw_where_the_server_reads_them(binary: bool) -> None:
    server = UpstreamServer(binary=binary)
    try:
        np.testing.assert_allclose(remote(server)(X), expected(X), rtol=1e-5)
    finally:
        server.close()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("hang", "slow"),
        ("trickle", "slow"),
        ("reset", "down"),
        ("cut", "down"),
        ("garbage", "garbage"),
        ("shape", "garbage"),
        ("nan", "garbage"),
        ("huge", "garbage"),
        ("error", "down"),
        ("refuse", "refused"),
    ],
)
@pytest.mark.parametrize("protocol", ["v2", "tensorflow"])
def test_a_fault_is_named_in_time_and_not_repeated(
    server: UpstreamServer, mode: str, kind: str, protocol: Any
) -> None:
    model = remote(server, protocol=protocol, timeout=0.5, retries=3, max_answer_bytes=10**6)
    server.mode = mode
    started = time.monotonic()
    with pytest.raises(Trouble) as caught:
        model(X)
    assert caught.value.kind == kind
    assert time.monotonic() - started < 2.0
    assert len(server.asked) == 1, "it may have been done: asking again is not safe"
    server.mode = "good"
    np.testing.assert_allclose(model(X), expected(X), rtol=1e-5)


def test_what_is_idempotent_is_tried_again(server: UpstreamServer) -> None:
    model = remote(server, retries=2, idempotent=True)
    server.mode = "reset"
    with pytest.raises(Trouble):
        model(X)
    assert len(server.asked) == 3


def test_what_was_never_sent_is_tried_again() -> None:
    server = UpstreamServer()
    model = remote(server, retries=2, failures=3, connect_timeout=0.2)
    server.close()
    with pytest.raises(Trouble, match="no connection"):
        model(X)
    assert str(model.breaker.state) == "open", "three tries, three failures"
    with pytest.raises(Trouble) as caught:
        model(X)
    assert (caught.value.kind, caught.value.sent) == ("paused", False)


def test_the_circuit_opens_and_closes_again(server: UpstreamServer) -> None:
    model = remote(server, failures=3, pause_seconds=0.2, retries=0)
    server.mode = "error"
    for _ in range(3):
        with pytest.raises(Trouble, match="500"):
            model(X)
    asked = len(server.asked)
    with pytest.raises(Trouble) as caught:
        model(X)
    assert caught.value.kind == "paused"
    assert len(server.asked) == asked
    server.mode = "good"
    time.sleep(0.25)
    np.testing.assert_allclose(model(X), expected(X), rtol=1e-5)
    assert str(model.breaker.state) == "closed"


def test_a_refusal_is_no_failure_of_the_server(server: UpstreamServer) -> None:
    model = remote(server, failures=2)
    server.mode = "refuse"
    for _ in range(5):
        with pytest.raises(Trouble) as caught:
            model(X)
        assert caught.value.kind == "refused"
    assert str(model.breaker.state) == "closed"


def test_many_at_once_share_few_connections(server: UpstreamServer) -> None:
    model = remote(server, connections=4, timeout=10.0)
    found: list[bool] = []

    def ask() -> None:
        for _ in range(10):
            found.append(bool(np.allclose(model(X), expected(X), rtol=1e-5)))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [True] * 120


def test_a_large_body_arrives_whole(server: UpstreamServer) -> None:
    x = np.random.default_rng(1).uniform(size=(200_000, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(remote(server, timeout=10.0)(x), expected(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"url": "ftp://x"}, "http or https"),
        ({"protocol": "json", "request": "{"}, "not JSON"),
        ({"protocol": "json", "request": "{}"}, "once"),
        ({"protocol": "json"}, "shape of a row"),
        ({"shape": (9,)}, "the server says"),
        ({"classes": 9}, "the server says"),
        ({"gives": "labels"}, "the server says"),
        ({"token_file": "/no/such"}, "cannot be read"),
        ({"ca": "/no/such"}, "no authorities"),
    ],
)
def test_a_wrong_setting_is_named(server: UpstreamServer, fields: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        remote(server, **fields)
