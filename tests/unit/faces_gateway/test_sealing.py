from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.local.log_home import existing_log
from hauberk.core.errors import EnvironmentFault
from hauberk.core.ports import Routing
from hauberk.faces.gateway.sealing import Fact, Sealing
from hauberk.testing.asking import OPERATOR, ask, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INFER = "/v2/models/m/infer"
X = np.full((2, 1, 2, 3), 0.5, np.float32)


def facts_of(tmp_path: Path, keep: str) -> list[dict[str, Any]]:
    world = FakeWorld(tmp_path)
    routing = Routing(primary=world.linear((1, 2, 3)))
    spec = {"seal": {"keep": keep}}
    gateway = fake_gateway(tmp_path / "s", world, MemoryLog(), routing=routing, spec=spec)
    assert gateway.sealing is not None
    gateway.sealing.start()
    assert ask(gateway, "POST", INFER, json=json_body(X, id="one")).status_code == 200
    assert ask(gateway, "POST", INFER, content=b"{").status_code == 400
    assert ask(gateway, "GET", "/metrics").status_code == 403
    assert ask(gateway, "GET", "/v2", token="stranger").status_code == 401
    assert ask(gateway, "GET", "/v2/hauberk/status", token=OPERATOR).status_code == 200
    gateway.sealing.close()
    log = existing_log(tmp_path / "s")
    assert log.audit().flaws == []
    return [one.facts or {} for one in log.read()]


def test_each_request_of_somebody_known_is_kept(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "facts")
    assert [(f["principal"], f["action"], f["code"], f["policy"]) for f in facts] == [
        ("alice", "infer", 200, "role:client"),
        ("alice", "infer", 400, "role:client"),
        ("alice", "control", 403, "role:client"),
        ("olga", "control", 200, "role:operator"),
    ]
    first = facts[0]
    assert (first["id"], first["outcome"], first["route"]) == ("one", "pass", "primary")
    assert first["digest"].startswith("sha256:")
    assert "request" not in first


def test_payloads_are_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    first = facts_of(tmp_path, "payloads")[0]
    assert json.loads(b64decode(first["request"])) == json_body(X, id="one")
    assert json.loads(b64decode(first["answer"]))["model_name"] == "m"


def test_nothing_is_kept_where_it_is_off(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path)
    gateway = fake_gateway(tmp_path / "s", world, MemoryLog(), spec={"seal": {"keep": "off"}})
    assert gateway.sealing is None
    assert not (tmp_path / "s" / "log").exists()


class Full:
    def open(self) -> int:
        return 0

    def seal(self, entries: Sequence[tuple[str, bytes]]) -> None:
        pass

    def flush(self, *, at: float) -> int:
        raise EnvironmentFault("disk full")

    def close(self) -> None:
        pass


def test_what_is_lost_is_counted_and_said() -> None:
    fact = Fact(at=0.0, tenant="t", principal="p", action="infer", model="m")
    lost: list[int] = []
    said: list[str] = []
    sealing = Sealing(Full(), capacity=3, seconds=0.01, dropped=lost.append, failed=said.append)
    for _ in range(5):
        sealing.put(fact)
    assert lost == [1, 1]
    sealing.start()
    sealing.close()
    assert sum(lost) == 5
    assert said == ["disk full"]


def test_large_payloads_do_not_pile_up() -> None:
    lost: list[int] = []
    sealing = Sealing(Full(), capacity=100, dropped=lost.append)
    for _ in range(10):
        payload = (bytes(10 * 2**20), b"")
        sealing.put(Fact(at=0.0, tenant="t", principal="p", action="a", model="m", payload=payload))
    assert sum(lost) == 3


def test_a_token_is_in_no_fact(tmp_path: Path) -> None:
    assert "token-of" not in json.dumps(facts_of(tmp_path, "payloads"))
