from __future__ import annotations

import gc
import json
import threading
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import EnvironmentFault
from hauberk.core.ports import Routing
from hauberk.faces.gateway import pool as pool_module
from hauberk.faces.gateway.faults import BadRequest, Conflict, NotNow
from hauberk.testing.asking import OPERATOR, ask, fake_gateway
from hauberk.testing.gateway_bench import SHAPE, Bench
from hauberk.testing.gateway_fakes import MemoryLog

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from numpy.typing import NDArray

UNKNOWN = "sha256:" + "0" * 64


def put(bench: Bench, routing: Routing | dict[str, Any] | bytes) -> httpx.Response:
    content = routing if isinstance(routing, bytes) else msgspec.json.encode(routing)
    return ask(bench.gateway, "PUT", "/v2/hauberk/routing", token=OPERATOR, content=content)


def test_a_swap_changes_who_answers_and_is_written_down(
    bench: Bench, rows: NDArray[np.float32], tmp_path: Path
) -> None:
    routing = Routing(primary=bench.canary, incident="i-1")
    assert put(bench, routing).json() == msgspec.to_builtins(routing)
    assert bench.infer(rows).json()["parameters"]["hauberk_digest"] == bench.canary
    kept = json.loads((tmp_path / "state" / "routing.json").read_bytes())
    assert msgspec.convert(kept, Routing) == routing
    got = ask(bench.gateway, "GET", "/v2/hauberk/routing", token=OPERATOR)
    assert got.json() == msgspec.to_builtins(routing)


def test_the_same_routing_again_loads_nothing(bench: Bench) -> None:
    before = bench.gateway.pool.lineup
    assert put(bench, bench.routing()).status_code == 200
    after = bench.gateway.pool.lineup
    assert before
    assert after
    assert after.primary is before.primary
    assert after.twin is before.twin


@pytest.mark.parametrize(
    "routing",
    [
        b"",
        b"[]",
        b"{}",
        b'{"primary":"x","unknown":1}',
        b'{"primary":"x"}',
        b'{"primary":"../../etc/passwd"}',
        {"primary": UNKNOWN, "canary_share": 0.5},
        {"primary": UNKNOWN, "canary": UNKNOWN, "canary_share": 1.5},
        {"primary": UNKNOWN, "canary": UNKNOWN, "canary_share": -0.1},
        {"primary": UNKNOWN, "mode": "contained"},
        {"primary": UNKNOWN, "mode": "other"},
        {"primary": UNKNOWN, "calibration": UNKNOWN},
        {"primary": UNKNOWN.upper()},
        b"[" * 60_000,
    ],
)
def test_a_routing_that_makes_no_sense_is_a_400(
    bench: Bench, routing: dict[str, Any] | bytes
) -> None:
    before = bench.gateway.pool.lineup
    response = put(bench, routing)
    assert response.status_code == 400, response.text
    assert bench.gateway.pool.lineup is before


def test_a_long_routing_is_a_413(bench: Bench) -> None:
    assert put(bench, b" " * 70_000).status_code == 413


@pytest.mark.parametrize("part", ["primary", "twin", "canary", "calibration"])
def test_a_digest_that_may_not_be_served_is_a_409_and_changes_nothing(
    bench: Bench, part: str, tmp_path: Path
) -> None:
    before = bench.gateway.pool.lineup
    written = (tmp_path / "state" / "routing.json").read_bytes()
    response = put(bench, bench.routing(**{part: UNKNOWN}))
    if part == "calibration":
        (bench.world.folder / UNKNOWN).write_bytes(b"no calibration")
        response = put(bench, bench.routing(**{part: UNKNOWN}))
    assert response.status_code == 409, response.text
    assert bench.gateway.pool.lineup is before
    assert (tmp_path / "state" / "routing.json").read_bytes() == written


def test_bytes_that_change_while_they_are_read_are_refused(bench: Bench) -> None:
    (bench.world.folder / bench.canary).write_bytes(b"other bytes")
    response = put(bench, Routing(primary=bench.canary))
    assert response.status_code == 409
    assert "HB-S001" in response.json()["error"]


def test_a_file_that_is_no_model_is_refused(bench: Bench) -> None:
    digest = bench.world.add(b"\x80\x04\x95 not a model")
    assert put(bench, Routing(primary=digest)).status_code == 409


def test_models_of_other_shapes_do_not_go_together(bench: Bench) -> None:
    other = bench.world.linear((1, 3, 2))
    more = bench.world.linear(SHAPE, classes=4)
    for digest in (other, more):
        response = put(bench, bench.routing(canary=digest, canary_share=0.1))
        assert response.status_code == 409
        assert "shape or classes" in response.json()["error"]


def test_a_full_disk_keeps_the_old_routing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise EnvironmentFault("disk full")

    monkeypatch.setattr(pool_module, "write_file", full)
    before = bench.gateway.pool.lineup
    with pytest.raises(NotNow, match="disk full"):
        bench.gateway.pool.arrange(Routing(primary=bench.canary))
    assert bench.gateway.pool.lineup is before


def again(bench: Bench, tmp_path: Path) -> Bench:
    """Another gateway over the same state, restored."""
    gateway = fake_gateway(tmp_path / "state", bench.world, MemoryLog())
    gateway.pool.restore()
    return replace(bench, gateway=gateway)


def test_the_routing_outlives_the_process(
    bench: Bench, rows: NDArray[np.float32], tmp_path: Path
) -> None:
    routing = bench.routing(mode="contained", incident="i-9")
    put(bench, routing)
    restarted = again(bench, tmp_path)
    lineup = restarted.gateway.pool.lineup
    assert lineup
    assert lineup.routing == routing
    assert restarted.infer(rows).json()["parameters"]["hauberk_route"] == "twin"


@pytest.mark.parametrize("damage", ["revoked", "torn", "nonsense", "missing model", "huge"])
def test_a_routing_that_does_not_verify_at_the_start_is_not_served(
    bench: Bench, rows: NDArray[np.float32], tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "state" / "routing.json"
    match damage:
        case "revoked":
            bench.world.revoked.add(bench.twin)
        case "torn":
            file.write_bytes(file.read_bytes()[:-5])
        case "nonsense":
            file.write_bytes(b'{"primary": 3}')
        case "missing model":
            (bench.world.folder / bench.primary).unlink()
        case "huge":
            file.write_bytes(b" " * 100_000)
    restarted = again(bench, tmp_path)
    assert restarted.gateway.pool.obstacle
    assert restarted.infer(rows).status_code == 503
    for path in ("/v2/health/ready", "/v2/models/m/ready", "/v2/models/m"):
        response = ask(restarted.gateway, "GET", path)
        assert response.status_code == 503
        assert "HB-" not in response.text, "the reason is the operator's"
    assert ask(restarted.gateway, "GET", "/v2/health/live").status_code == 200
    status = ask(restarted.gateway, "GET", "/v2/hauberk/status", token=OPERATOR).json()
    assert status["ready"] is False
    assert status["obstacle"]
    assert ask(restarted.gateway, "GET", "/v2/hauberk/routing", token=OPERATOR).status_code == 404
    assert put(restarted, Routing(primary=bench.canary)).status_code == 200, "it can be mended"
    assert restarted.infer(rows).status_code == 200


def test_before_the_first_routing_nothing_is_served(
    bench: Bench, rows: NDArray[np.float32], tmp_path: Path
) -> None:
    (tmp_path / "state" / "routing.json").unlink()
    fresh = again(bench, tmp_path)
    assert fresh.gateway.pool.obstacle == "no routing yet"
    assert fresh.infer(rows).status_code == 503


def test_a_revoked_primary_is_not_served(bench: Bench, rows: NDArray[np.float32]) -> None:
    bench.world.revoked.add(bench.primary)
    withheld = bench.gateway.pool.recheck()
    assert list(withheld) == [bench.primary]
    assert bench.infer(rows).status_code == 503
    assert ask(bench.gateway, "GET", "/v2/health/ready").status_code == 503
    page = ask(bench.gateway, "GET", "/metrics", token=OPERATOR).text
    assert 'part="primary"} 0.0' in page
    assert put(bench, bench.routing()).status_code == 409
    assert put(bench, Routing(primary=bench.canary)).status_code == 200
    assert bench.infer(rows).status_code == 200


def test_a_revoked_twin_screens_no_more_and_does_not_answer(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    bench.world.revoked.add(bench.twin)
    bench.gateway.pool.recheck()
    assert bench.infer(rows).json()["parameters"]["hauberk_outcome"] == "pass"
    assert all(record.twin_label is None for record in bench.records())
    bench.world.revoked.clear()
    bench.gateway.pool.arrange(bench.routing(mode="contained"))
    bench.world.revoked.add(bench.twin)
    bench.gateway.pool.recheck()
    assert bench.infer(rows).status_code == 503


def test_a_revoked_canary_loses_its_share(bench: Bench, rows: NDArray[np.float32]) -> None:
    bench.gateway.pool.arrange(bench.routing(canary=bench.canary, canary_share=1.0))
    bench.world.revoked.add(bench.canary)
    bench.gateway.pool.recheck()
    assert bench.infer(rows).json()["parameters"]["hauberk_digest"] == bench.primary


def test_a_check_without_an_answer_is_borne_a_few_times(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    pool = bench.gateway.pool
    bench.world.silent = True
    for _ in range(4):
        assert pool.recheck() == {}
    assert bench.infer(rows).status_code == 200
    assert bench.primary in pool.recheck()
    assert bench.infer(rows).status_code == 503
    bench.world.silent = False
    assert pool.recheck() == {}
    assert bench.infer(rows).status_code == 200


def test_a_silent_world_puts_no_routing_into_force(bench: Bench) -> None:
    bench.world.silent = True
    assert put(bench, Routing(primary=bench.canary)).status_code == 503


class Slow:
    """A model that waits in the middle of an answer."""

    input_shape, classes = SHAPE, 3

    def __init__(self) -> None:
        self.entered, self.leave, self.warm = threading.Event(), threading.Event(), False

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.warm:
            self.entered.set()
            self.leave.wait(10)
        self.warm = True
        return np.zeros((len(x), 3), np.float32)


def test_a_request_in_flight_ends_on_the_model_it_began_with(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    slow = Slow()
    digest = bench.world.add(b"slow", slow)
    bench.gateway.pool.arrange(Routing(primary=digest))
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(bench.infer(rows[:1])))
    thread.start()
    assert slow.entered.wait(10)
    bench.gateway.pool.arrange(Routing(primary=bench.primary))
    now = bench.infer(rows[:1]).json()["parameters"]["hauberk_digest"]
    slow.leave.set()
    thread.join(10)
    assert now == bench.primary
    assert answers[0].json()["parameters"]["hauberk_digest"] == digest


def test_the_old_model_leaves_the_memory(bench: Bench, rows: NDArray[np.float32]) -> None:
    lineup = bench.gateway.pool.lineup
    assert lineup
    old = weakref.ref(lineup.primary.run)
    del lineup
    bench.infer(rows[:1])
    bench.gateway.pool.arrange(Routing(primary=bench.canary))
    bench.infer(rows[:1])
    gc.collect()
    assert old() is None


def test_swaps_under_load_fail_no_request_and_mix_no_models(
    bench: Bench, rows: NDArray[np.float32]
) -> None:
    pool, stop = bench.gateway.pool, threading.Event()
    plane = bench.gateway.app.plane
    from hauberk.access.principal import Principal
    from hauberk.faces.gateway.entrance import Visit
    from hauberk.faces.gateway.tensors import Request, Tensor

    expected = {
        d: bench.world.start((bench.world.folder / d).read_bytes())(rows)
        for d in (bench.primary, bench.twin, bench.canary)
    }
    wrong: list[str] = []
    done = [0, 0]

    def load(number: int) -> None:
        request = Request(inputs=(Tensor("x", rows),))
        while not stop.is_set():
            try:
                response = plane.infer(
                    request, model="m", version=None, visit=Visit(Principal("a")), started=0
                )
            except Exception as error:
                wrong.append(repr(error))
                return
            digest = str(response.parameters["hauberk_digest"])
            if not np.allclose(response.outputs[0].data, expected[digest], atol=1e-5):
                wrong.append(f"{digest} did not give this answer")
            done[number] += 1

    threads = [threading.Thread(target=load, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for number in range(60):
        one, two = (bench.primary, bench.canary)[:: 1 if number % 2 else -1]
        mode = ("normal", "contained")[number % 3 == 0]
        pool.arrange(bench.routing(primary=one, canary=two, canary_share=0.3, mode=mode))
    stop.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []
    assert min(done) > 10


def test_the_errors_are_of_the_right_kind(bench: Bench) -> None:
    with pytest.raises(BadRequest):
        bench.gateway.pool.arrange(Routing(primary="x"))
    with pytest.raises(Conflict):
        bench.gateway.pool.arrange(Routing(primary=UNKNOWN))
