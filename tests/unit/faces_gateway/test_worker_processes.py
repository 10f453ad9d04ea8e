"""Several worker processes behind one port: one order, counts that are shared, one that dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from hauberk.adapters.local.home import Home
from hauberk.adapters.local.log_home import existing_log
from hauberk.adapters.local.sharing import Reach
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError
from hauberk.core.ports import Routing
from hauberk.core.spec import parse_spec
from hauberk.faces.gateway.processes import check_workers, told
from hauberk.testing.asking import CLIENT, json_body
from hauberk.testing.servers import until
from hauberk.testing.toy_onnx import linear_onnx

SHAPE = (1, 4, 4)
NAMES = ("worker-1", "worker-2")
SPEC: dict[str, dict[str, Any]] = {
    "model": {"name": "m"},
    "serve": {"port": 0, "workers": 2},
    "share": {"backend": "sqlite"},
    "quota": {"rows_per_day": 24, "backend": "sqlite"},
}


def asked(url: str) -> int:
    """The status of one request, over a connection of its own."""
    body = json_body(np.full((1, *SHAPE), 0.5, np.float32))
    head = {"Authorization": f"Bearer {CLIENT}"}
    try:
        return httpx.post(f"{url}/v2/models/m/infer", json=body, headers=head).status_code
    except httpx.HTTPError:
        return 0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A service with one model, which is ordered."""
    home = Home.create(tmp_path / "state")
    weights = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    digest = home.store.put(linear_onnx(weights, shape=SHAPE))
    home.trust.sign(digest, {"role": "initial", "by": "olga"}, time.time())
    order = msgspec.json.encode(Routing(primary=digest))
    (home.folder / "routing.json").write_bytes(order)
    lines = []
    for section, values in SPEC.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(one)}" for key, one in values.items())]
    client = {"name": "alice", "token_sha256": digest_bytes(CLIENT.encode())}
    lines += ["[[serve.clients]]", *(f"{key} = {json.dumps(one)}" for key, one in client.items())]
    (home.folder / "hauberk.toml").write_text("\n".join(lines))
    return home.folder


@pytest.fixture
def gateway(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "hauberk", "serve", "--state", str(state)]
    with (state / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--config", str(state / "hauberk.toml")],
            stderr=stderr,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    yield process
    if process.poll() is None:
        process.terminate()
    process.wait(40)


def address(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


def test_two_workers_are_one_gateway(state: Path, gateway: subprocess.Popen[bytes]) -> None:
    own = [state / "replicas" / name / "gateway.json" for name in NAMES]
    until(lambda: all(path.exists() for path in own) and (state / "gateway.json").exists())
    url = "http://127.0.0.1:{port}".format(**address(state / "gateway.json"))
    alone = ["http://127.0.0.1:{port}".format(**address(path)) for path in own]
    assert len({url, *alone}) == 3
    until(lambda: all(httpx.get(f"{one}/v2/health/ready").is_success for one in alone))

    # Each is asked by its own port, then both by theirs: they count together.
    assert [asked(one) for one in alone for _ in range(6)] == [200] * 12
    assert [asked(url) for _ in range(12)] == [200] * 12
    assert [asked(one) for one in (*alone, url)] == [429] * 3

    told_all = Reach(Home(state), parse_spec(SPEC)).records
    until(lambda: len(told_all.read(0, 100)) == 24)

    killed = address(own[1])["pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: address(own[1]).get("pid", killed) != killed)
    assert "starting it anew" in (state / "stderr").read_text()

    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait(40) == 0
    assert not (state / "gateway.json").exists()
    for name in NAMES:
        assert existing_log(state / "replicas" / name).audit().flaws == []


@pytest.mark.parametrize(
    ("section", "values", "why"),
    [("share", {"backend": "off"}, "share"), ("quota", {"backend": "memory"}, "each for itself")],
)
def test_workers_that_could_not_work_together_are_refused(
    section: str, values: dict[str, str], why: str
) -> None:
    tree: dict[str, Any] = {**SPEC}
    tree[section] = {**tree[section], **values}
    with pytest.raises(ConfigError, match=why):
        check_workers(parse_spec(tree))


@pytest.mark.parametrize("value", ["", "1", "1:", ":1", "a:1", "1:99999999999999"])
def test_what_tells_no_worker_its_place_is_refused(value: str) -> None:
    with pytest.raises(ConfigError):
        told(value)
