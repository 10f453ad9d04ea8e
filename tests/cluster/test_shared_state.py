"""Gateways that share Redis: the operator gives its orders, and reads what they saw, there."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hauberk.adapters.local.sharing import ORDER
from hauberk.core.errors import HauberkError
from hauberk.core.ports import Routing
from hauberk.testing.kube.stage import SPEC, Stage
from hauberk.testing.servers import free_port

pytest.importorskip("redis", reason="the redis extra is not installed")
from hauberk.adapters.redis.guard_state import RedisGuardState

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(SERVER is None, reason="no redis-server on this machine"),
]
NAME = "digits"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    words = [str(SERVER), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*words, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


def answers(shared: RedisGuardState) -> bool:
    try:
        shared.last_seq()
    except HauberkError:
        return False
    return True


def ordered(shared: RedisGuardState) -> Routing | None:
    data = shared.cell(ORDER).data
    return msgspec.json.decode(data, type=Routing) if data else None


def test_orders_and_records_go_through_the_shared_state(stage: Stage, redis: str) -> None:
    routing = stage.set_up(NAME)
    shared = RedisGuardState(redis, service=NAME, room=1000)
    stage.wait("Redis", lambda: answers(shared))
    stage.service(NAME)
    stage.shield(NAME, {**SPEC, "share": {"backend": "redis", "redis": redis}})
    stage.operator.start()
    stage.reach(NAME, "serving")
    assert ordered(shared) == routing, "what was in force is ordered for all"
    stage.tell(NAME, 200, digest=routing.primary, p=1e-6, shared=shared)
    assert stage.reach(NAME, "hardening")["mode"] == "contained"
    found = ordered(shared)
    assert (found and found.mode) == "contained"
    stage.operator.kill()
    stage.operator.start()
    candidate = stage.harden(NAME)
    stage.judge(NAME, candidate)
    stage.reach(NAME, "canary")
    stage.tell(NAME, 6, digest=candidate, route="canary", shared=shared)
    stage.reach(NAME, "checking")
    found = ordered(shared)
    assert (found and found.primary) == candidate


def test_a_file_is_nothing_that_pods_can_share(stage: Stage) -> None:
    stage.set_up(NAME)
    stage.service(NAME)
    stage.shield(NAME, {**SPEC, "share": {"backend": "sqlite"}})
    stage.operator.start()
    status = stage.wait("a status", lambda: stage.status(NAME))
    (shielded,) = [one for one in status["conditions"] if one["type"] == "Shielded"]
    assert "cannot be shared by pods" in shielded["message"]
