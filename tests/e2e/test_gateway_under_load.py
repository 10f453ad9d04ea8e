"""Gateways in processes of their own under load: a shared quota, a lost Redis, kill -9."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from hauberk.adapters.local.log_home import existing_log
from hauberk.testing.asking import CLIENT, binary_body
from hauberk.testing.gateway_process import SHAPE, GatewayProcess, start_gateway
from hauberk.testing.servers import redis_program, redis_server

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

needs_redis = pytest.mark.skipif(redis_program() is None, reason="no redis-server on this machine")
CONTENT, HEADERS = binary_body(np.full((1, *SHAPE), 0.5, np.float32))


class Load:
    """Threads that ask some gateways until they are stopped; codes and the moments of answers."""

    def __init__(self, gateways: list[GatewayProcess], threads: int = 2) -> None:
        self.codes: Counter[int] = Counter()
        self.answered: list[tuple[float, str]] = []
        self.slowest = 0.0
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(gateway, number))
            for gateway in gateways
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, gateway: GatewayProcess, number: int) -> None:
        headers = {**HEADERS, "Authorization": f"Bearer {CLIENT}"}
        with httpx.Client(base_url=gateway.url, trust_env=False, timeout=10.0) as client:
            while not self._over.is_set():
                begun = time.monotonic()
                try:
                    answer = client.post("/v2/models/m/infer", content=CONTENT, headers=headers)
                except httpx.HTTPError:
                    return
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.codes[answer.status_code] += 1
                if answer.status_code == 200:
                    told = answer.content.decode("latin-1")
                    self.answered.append((time.monotonic(), told))

    def stop(self) -> None:
        """End the threads."""
        self._over.set()
        for thread in self._threads:
            thread.join(20)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with redis_server(tmp_path) as started:
        yield started


def quota(url: str, **more: Any) -> dict[str, Any]:
    return {"quota": {"backend": "redis", "redis": url, **more}}


@needs_redis
@pytest.mark.parametrize("held", [600, 4000], ids=["asked each time", "drawn ahead"])
def test_two_gateways_share_a_quota_to_one_per_cent(
    redis: tuple[str, subprocess.Popen[bytes]], tmp_path: Path, held: int
) -> None:
    # A bucket that hardly refills: what both let through is what it held.
    spec = quota(redis[0], rows_per_day=float(held))
    gateways = [start_gateway(tmp_path / name, spec) for name in ("a", "b")]
    load = Load(gateways)
    try:
        deadline = time.monotonic() + 30
        while load.codes[429] < 50 and time.monotonic() < deadline:
            time.sleep(0.05)
        load.stop()
        assert set(load.codes) == {200, 429}
        assert abs(load.codes[200] - held) <= held / 100, load.codes
        answer = httpx.post(
            f"{gateways[0].url}/v2/models/m/infer",
            content=CONTENT,
            headers={**HEADERS, "Authorization": f"Bearer {CLIENT}"},
        )
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        load.stop()
        for gateway in gateways:
            gateway.stop()


@needs_redis
@pytest.mark.parametrize(("on_loss", "code"), [("refuse", 503), ("local", 200)])
def test_a_redis_that_dies_under_load_is_answered_by_policy(
    redis: tuple[str, subprocess.Popen[bytes]], tmp_path: Path, on_loss: str, code: int
) -> None:
    # Of a bucket of 40 000 a hundred are drawn ahead: so many pass without Redis, paid before.
    spec = quota(redis[0], requests_per_second=4000.0, concurrent=64, on_loss=on_loss)
    gateway = start_gateway(tmp_path / "gateway", spec)
    load = Load([gateway])
    try:
        time.sleep(1.0)
        redis[1].kill()
        redis[1].wait()
        before = load.codes[code]
        deadline = time.monotonic() + 20
        while load.codes[code] < before + 100 and time.monotonic() < deadline:
            time.sleep(0.05)
        load.stop()
        assert load.codes[code] >= before + 100
        assert set(load.codes) <= {200, code}, "neither a 500 nor anything else"
        assert load.slowest < 5.0
        alive = httpx.get(f"{gateway.url}/v2/health/live", trust_env=False)
        assert alive.status_code == 200
    finally:
        load.stop()
        gateway.stop()


def test_kill_9_under_load_loses_at_most_the_last_group(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path / "gateway", {"seal": {"commit_seconds": 0.1}})
    load = Load([gateway])
    time.sleep(2.0)
    killed = time.monotonic()
    gateway.stop(signal.SIGKILL)
    load.stop()
    log = existing_log(gateway.state)
    audit = log.audit()
    # What was being written when the process died is no group yet; a new writer cuts it off.
    assert {flaw.fault for flaw in audit.flaws} <= {"unreadable", "unsealed"}
    log.open()
    log.close()
    audit = log.audit()
    assert audit.flaws == []
    kept = {str(entry.facts["id"]) for entry in log.read() if entry.facts}
    missing = [at for at, told in load.answered if not _ids(told, kept)]
    assert len(kept) > 100
    assert all(killed - at < 1.0 for at in missing), "older than the last group"


def _ids(told: str, kept: set[str]) -> list[str]:
    """The id that an answer tells, if it was kept."""
    found = told.partition('"id":"')[2].partition('"')[0]
    return [found] if found in kept else []
