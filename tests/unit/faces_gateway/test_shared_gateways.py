"""Gateways that share nothing but Redis: one order, one campaign, and what they do without it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from hauberk.adapters.http.client import V2Client
from hauberk.adapters.kserve.replicas import FOLDER
from hauberk.adapters.local.guard_state import SqliteGuardState
from hauberk.adapters.local.home import Home
from hauberk.adapters.local.sharing import ORDER, OrderDeployer, Reach, leave, shared_state
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, HauberkError
from hauberk.core.ports import Routing
from hauberk.core.spec import ShareSpec, Spec, load_spec
from hauberk.faces.cli.main import run
from hauberk.testing.asking import CLIENT
from hauberk.testing.gateway_fakes import calibration
from hauberk.testing.servers import free_port, redis_program, redis_server, until
from hauberk.testing.toy_onnx import linear_onnx

pytest.importorskip("redis", reason="the redis extra is not installed")
pytestmark = pytest.mark.skipif(redis_program() is None, reason="no redis-server on this machine")
SHAPE = (1, 8, 8)
PODS = ("one", "two")


@dataclass
class Fleet:
    """Two gateways in folders of their own, and a Redis that can be lost."""

    folder: Path
    port: int = field(default_factory=free_port)
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    servers: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.home = Home.create(self.folder)
        rng, home = np.random.default_rng(0), self.home
        self.models = []
        for _ in range(2):
            weights = rng.normal(size=(64, 3)).astype(np.float32)
            self.models.append(home.store.put(linear_onnx(weights, shape=SHAPE)))
            home.trust.sign(self.models[-1], {"role": "initial", "by": "olga"}, time.time())
        primary, twin = self.models
        known = home.store.put(calibration(50.0))
        self.normal = Routing(primary=primary, twin=twin, calibration=known)
        client = {"name": "alice", "token_sha256": digest_bytes(CLIENT.encode())}
        lines = ["[model]", 'name = "m"', "[share]", 'backend = "redis"', "patience_seconds = 1"]
        lines += [f'redis = "redis://127.0.0.1:{self.port}/0"', "[[serve.clients]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in client.items()]
        (self.folder / "hauberk.toml").write_text("\n".join(lines))
        self.redis()
        self.deployer.route(self.normal)
        for pod in PODS:
            self.start(pod)

    @property
    def spec(self) -> Spec:
        return load_spec(self.folder / "hauberk.toml")

    @property
    def deployer(self) -> OrderDeployer:
        found = Reach(self.home, self.spec).deployer
        assert isinstance(found, OrderDeployer)
        return found

    def redis(self) -> None:
        server = redis_server(self.folder, self.port)
        self.started["redis"] = self.servers.enter_context(server)[1]
        until(self.answers)

    def answers(self) -> bool:
        try:
            Reach(self.home, self.spec).deployer.routing()
        except HauberkError:
            return False
        return True

    def kill(self, name: str) -> None:
        self.started[name].kill()
        self.started[name].wait()

    def start(self, pod: str) -> None:
        command = [sys.executable, "-m", "hauberk", "serve", "--state", str(self.folder)]
        command += ["--config", str(self.folder / "hauberk.toml"), "--port", "0"]
        environment = {**os.environ, "HAUBERK_REPLICA": pod, "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{pod}.log").open("wb") as log:
            self.started[pod] = subprocess.Popen(command, stderr=log, env=environment)
        until((self.own(pod) / "gateway.json").exists)

    def own(self, pod: str) -> Path:
        return self.folder / FOLDER / pod

    def mode(self, pod: str) -> str:
        data = (self.own(pod) / "routing.json").read_bytes()
        return str(json.loads(data)["mode"])

    def ask(self, pod: str, rows: list[np.ndarray]) -> None:
        address = json.loads((self.own(pod) / "gateway.json").read_bytes())
        with V2Client(f"http://127.0.0.1:{address['port']}", "m", token=CLIENT) as client:
            for row in rows:
                client.infer(row)

    def metric(self, pod: str, name: str) -> float:
        address = json.loads((self.own(pod) / "gateway.json").read_bytes())
        url = f"http://127.0.0.1:{address['port']}/metrics"
        headers = {"authorization": f"Bearer {self.home.operator_token}"}
        page = httpx.get(url, headers=headers, trust_env=False).text
        return float(re.findall(rf"^{name} (\S+)$", page, flags=re.MULTILINE)[0])

    def routes(self, after: int) -> list[str]:
        found = Reach(self.home, self.spec).records.read(after, 1000)
        return [one.route for one in found]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "state")
    yield fleet
    for process in fleet.started.values():
        process.kill()
        process.wait()
    fleet.servers.close()


def alike(count: int) -> list[np.ndarray]:
    """Inputs that a search for an adversarial one would send."""
    rng = np.random.default_rng(1)
    start = rng.random((1, *SHAPE), np.float32)
    noise = rng.uniform(-0.01, 0.01, (count, *SHAPE)).astype(np.float32)
    return [np.clip(start + one, 0, 1).astype(np.float32) for one in noise]


def watch(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    words = ["watch", "--once", "--throttle", "--state", str(fleet.folder), "--format", "json"]
    run([*words, "--quiet", "--config", str(fleet.folder / "hauberk.toml")])
    return dict(json.loads(capsys.readouterr().out))


def test_one_campaign_over_two_gateways(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    rows = alike(12)
    fleet.ask("one", rows[::2])
    until(lambda: len(fleet.routes(0)) == 6)
    assert "HB-D007" not in watch(fleet, capsys)["found"], "half of it is too little"
    fleet.ask("two", rows[1::2])
    until(lambda: len(fleet.routes(0)) == 12)
    found = watch(fleet, capsys)
    assert found["found"]["HB-D007"] >= 1, "the next watch went on where the first one was"
    assert found["records"] == 12
    time.sleep(2.5)
    for pod in PODS:
        with pytest.raises(HauberkError, match="resemble a search"):
            fleet.ask(pod, alike(30))


def test_an_order_for_all_and_a_redis_that_is_lost(fleet: Fleet) -> None:
    contained = Routing(primary=fleet.models[0], twin=fleet.models[1], mode="contained")
    until(lambda: all(fleet.mode(pod) == "normal" for pod in PODS))
    fleet.deployer.route(contained)
    until(lambda: all(fleet.mode(pod) == "contained" for pod in PODS), 5)
    fleet.deployer.route(fleet.normal)
    until(lambda: all(fleet.mode(pod) == "normal" for pod in PODS), 5)
    rows = alike(3)
    for pod in PODS:
        fleet.ask(pod, rows)
    until(lambda: fleet.routes(0) == ["primary"] * 6)

    last = Reach(fleet.home, fleet.spec).records.read(0, 100)[-1].seq
    fleet.kill("redis")
    for pod in PODS:
        fleet.ask(pod, rows)  # raises on any 5xx
    until(lambda: all(fleet.mode(pod) == "contained" for pod in PODS), 10)
    for pod in PODS:
        fleet.ask(pod, rows)
    assert fleet.metric("one", "hauberk_cut_off") == 1
    until(lambda: fleet.metric("two", "hauberk_untold_records") == 6)
    fleet.kill("one")
    (fleet.own("one") / "gateway.json").unlink()
    fleet.start("one")
    fleet.ask("one", rows)  # it starts without Redis, on its twin
    fleet.redis()  # with nothing of what it knew
    until(lambda: all(fleet.mode(pod) == "normal" for pod in PODS), 10)
    assert fleet.deployer.routing() == fleet.normal
    until(lambda: len(fleet.routes(last)) == 9)
    assert fleet.metric("one", "hauberk_cut_off") == 0
    until(lambda: fleet.metric("two", "hauberk_untold_records") == 0)
    found = sorted(fleet.routes(last))
    assert found == ["primary"] * 3 + ["twin"] * 6, "nothing of those that lived is lost"


def test_a_service_that_shared_goes_on_sharing(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "state")
    assert shared_state(Spec(), home.folder) is None
    sharing = Spec(share=ShareSpec(backend="sqlite"))
    state = shared_state(sharing, home.folder)
    assert isinstance(state, SqliteGuardState)
    first = Routing(primary=digest_bytes(b"first"))
    leave(home, sharing, first)
    assert Reach(home, sharing).deployer.routing() == first
    state.put(ORDER, b"")
    assert Reach(home, sharing).deployer.routing() == first, "the directory has it too"
    with pytest.raises(ConfigError, match="share their state"):
        Reach(home, Spec()).state  # noqa: B018 - a property


def test_a_lost_key_is_revoked_at_every_replica(fleet: Fleet) -> None:
    digest = digest_bytes(CLIENT.encode())
    (fleet.folder / "revoked-keys").write_text(f"{digest}\n")
    address = json.loads((fleet.own("two") / "gateway.json").read_bytes())
    url = f"http://127.0.0.1:{address['port']}/v2/models/m"
    headers = {"authorization": f"Bearer {CLIENT}"}
    until(lambda: httpx.get(url, headers=headers, trust_env=False).status_code == 401, 10)
