"""KServe's payload logger as a passive tap: any order, once each, never in anyone's way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.core.digest import digest_bytes
from hauberk.core.ports import Routing
from hauberk.faces.gateway.payload_join import Event, Joiner
from hauberk.testing.asking import HEADER, OPERATOR, ask, binary_body, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog, calibration

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from hauberk.faces.gateway.compose import Gateway

TOKEN = "token-of-the-logger"
PATH = f"/v2/hauberk/payloads/{TOKEN}"
X = np.random.default_rng(0).uniform(size=(2, 4)).astype(np.float32)
LOGITS = np.array([[0.1, 2.0, 0.3], [5.0, 1.0, 0.0]], np.float32)
V2 = json.dumps(json_body(X)).encode()
OUT = {"name": "logits", "datatype": "FP32", "shape": [2, 3], "data": LOGITS.ravel().tolist()}
V2_OUT = json.dumps({"outputs": [OUT]}).encode()


def gateway_of(folder: Path, **more: Any) -> tuple[Gateway, MemoryLog]:
    log, world = MemoryLog(), FakeWorld(folder)
    section = {"token_sha256": digest_bytes(TOKEN.encode()), **more}
    return fake_gateway(folder / "s", world, log, spec={"payloads": section}), log


def post(
    gateway: Gateway, part: str, body: bytes, *, path: str = PATH, **more: str
) -> httpx.Response:
    headers = {
        "ce-id": "r1",
        "ce-type": f"org.kubeflow.serving.inference.{part}",
        "ce-source": "http://localhost:9081/",
        "ce-specversion": "1.0",
        "ce-inferenceservicename": "fraud",
        "content-type": "application/json",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    headers = {name: value for name, value in headers.items() if value}
    return ask(gateway, "POST", path, token=None, headers=headers, content=body)


def told(gateway: Gateway, log: MemoryLog) -> list[Any]:
    assert gateway.app.payloads is not None
    gateway.app.payloads.close()
    gateway.tap.start()
    gateway.tap.close()
    return log.records


@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
def test_a_pair_in_any_order_is_one_record_a_row(tmp_path: Path, order: tuple[str, str]) -> None:
    gateway, log = gateway_of(tmp_path)
    bodies = {"request": V2, "response": V2_OUT}
    for part in (*order, *order):  # each comes twice, as the logger may send it
        answer = post(gateway, part, bodies[part])
        assert (answer.status_code, answer.content) == (202, b"")
    records = told(gateway, log)
    assert [record.label for record in records] == [1, 0]
    assert {record.digest for record in records} == {"fraud"}
    assert [record.id for record in records] == ["r1/0", "r1/1"]
    assert all(record.features for record in records)
    page = ask(gateway, "GET", "/metrics", token=OPERATOR).text
    assert 'hauberk_payloads_total{what="joined"} 2.0' in page
    assert 'hauberk_payloads_total{what="repeated"} 2.0' in page


def test_v1_and_binary_payloads_are_read_too(tmp_path: Path) -> None:
    gateway, log = gateway_of(tmp_path, digest="sha256:" + "0" * 64)
    post(gateway, "request", json.dumps({"instances": X.tolist()}).encode())
    post(gateway, "response", json.dumps({"predictions": [2, 1]}).encode())
    content, headers = binary_body(X)
    out = {**OUT, "parameters": {"binary_data_size": LOGITS.nbytes}}
    del out["data"]
    head = json.dumps({"outputs": [out]}).encode()
    post(gateway, "request", content, ce_id="r2", **{HEADER: headers[HEADER]})
    post(gateway, "response", head + LOGITS.tobytes(), ce_id="r2", **{HEADER: str(len(head))})
    records = told(gateway, log)
    assert [record.label for record in records] == [2, 1, 1, 0]
    assert {record.digest for record in records} == {"sha256:" + "0" * 64}


@pytest.mark.parametrize(
    ("request_body", "response_body"),
    [
        (b"{", V2_OUT),
        (V2, b"{"),
        (V2, b"[]"),
        (V2, json.dumps({"outputs": []}).encode()),
        (V2, json.dumps({"predictions": [[1, 2], [3]]}).encode()),
        (V2, json.dumps({"predictions": [1]}).encode()),
        (b"\x00\xff", b"\x00"),
    ],
)
def test_what_cannot_be_read_is_counted_and_goes_no_further(
    tmp_path: Path, request_body: bytes, response_body: bytes
) -> None:
    gateway, log = gateway_of(tmp_path)
    assert post(gateway, "request", request_body).status_code == 202
    assert post(gateway, "response", response_body).status_code == 202
    assert told(gateway, log) == []
    page = ask(gateway, "GET", "/metrics", token=OPERATOR).text
    assert 'hauberk_payloads_total{what="unreadable"} 2.0' in page


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"path": "/v2/hauberk/payloads/other"}, 401),
        ({"path": "/v2/hauberk/payloads"}, 401),
        ({"ce_id": ""}, 400),
        ({"ce_type": "org.other"}, 400),
        ({HEADER: "99999999"}, 400),
        ({HEADER: "x"}, 400),
        ({"path": "/v2/hauberk/payloads", "authorization": f"Bearer {TOKEN}"}, 202),
    ],
)
def test_who_and_what_is_let_in(tmp_path: Path, more: dict[str, str], status: int) -> None:
    gateway, _ = gateway_of(tmp_path)
    more = {name.replace("-", "_"): value for name, value in more.items()}
    assert post(gateway, "request", V2, **more).status_code == status


def test_the_token_in_the_path_gets_into_no_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway, _ = gateway_of(tmp_path)
    post(gateway, "request", V2, ce_type="org.other")
    assert TOKEN not in capsys.readouterr().err


def test_without_a_token_there_is_no_receiver(tmp_path: Path) -> None:
    gateway = fake_gateway(tmp_path / "s", FakeWorld(tmp_path), MemoryLog())
    assert post(gateway, "request", V2).status_code == 401


def test_a_full_queue_drops_and_says_so_and_the_answer_is_the_same(tmp_path: Path) -> None:
    gateway, log = gateway_of(tmp_path, queue=1)
    payloads = gateway.app.payloads
    assert payloads is not None
    payloads.close()  # takes nothing more
    assert post(gateway, "request", V2).status_code == 202
    page = ask(gateway, "GET", "/metrics", token=OPERATOR).text
    assert 'hauberk_payloads_total{what="dropped"} 1.0' in page
    assert log.records == []


def test_a_signed_pair_beside_it_finds_the_suspect_rows(tmp_path: Path) -> None:
    gateway, log = gateway_of(tmp_path)
    world = FakeWorld(tmp_path)
    made = calibration(0.2)
    (tmp_path / digest_bytes(made)).write_bytes(made)
    routing = Routing(
        primary=world.linear((4,)),
        twin=world.linear((4,), seed=1),
        calibration=digest_bytes(made),
    )
    gateway.pool.arrange(routing)
    post(gateway, "request", V2)
    post(gateway, "response", V2_OUT)
    records = told(gateway, log)
    assert all(record.score is not None for record in records)


@given(st.permutations([(n, part) for n in range(6) for part in ("request", "response")] * 2))
def test_whatever_the_order_each_pair_comes_once(order: list[tuple[int, Any]]) -> None:
    joiner = Joiner()
    pairs = [joiner.add(Event(str(n), part, "s", None, b"x"), at=0.0) for n, part in order]
    found = [pair.request.id for pair in pairs if pair]
    assert sorted(found) == [str(n) for n in range(6)]
    assert (len(joiner), joiner.lost, joiner.repeated) == (0, 0, 12)


def test_what_waits_is_bounded_in_number_bytes_and_time() -> None:
    joiner = Joiner(limit=3, limit_bytes=100, patience=5.0)
    for n in range(5):
        joiner.add(Event(str(n), "request", "s", None, b"x" * 10), at=0.0)
    assert (len(joiner), joiner.lost) == (3, 2)
    joiner.add(Event("large", "request", "s", None, b"x" * 95), at=1.0)
    assert len(joiner) == 1
    joiner.add(Event("late", "request", "s", None, b""), at=7.0)
    assert (len(joiner), joiner.lost) == (1, 6)
