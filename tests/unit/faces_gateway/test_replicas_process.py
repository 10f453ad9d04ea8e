"""Two gateways of one service, as the pods of two revisions: one order, one stream of records."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hauberk.adapters.http.client import V2Client
from hauberk.adapters.kserve.replicas import FOLDER, GatheredRecords, behind
from hauberk.adapters.local.files import write_file
from hauberk.adapters.local.home import Home
from hauberk.core.digest import digest_bytes
from hauberk.core.ports import Routing
from hauberk.testing.asking import CLIENT
from hauberk.testing.servers import until
from hauberk.testing.toy_onnx import linear_onnx

SHAPE = (1, 4, 4)
PODS = {"m-00001-a": 0, "m-00002-b": 1}
"""The pods' names, and which model each one's revision was made for."""


@dataclass
class Fleet:
    folder: Path
    home: Home = field(init=False)
    models: list[str] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _seen: int = 0

    def __post_init__(self) -> None:
        self.home = Home.create(self.folder)
        self.gathered = GatheredRecords(self.folder, self.home.records)
        rng = np.random.default_rng(0)
        for _ in range(3):
            weights = rng.normal(size=(16, 3)).astype(np.float32)
            digest = self.home.store.put(linear_onnx(weights, shape=SHAPE))
            self.home.trust.sign(digest, {"role": "initial", "by": "olga"}, time.time())
            self.models.append(digest)
        client = {"name": "alice", "token_sha256": digest_bytes(CLIENT.encode())}
        lines = ["[model]", 'name = "m"', "[[serve.clients]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in client.items()]
        (self.folder / "hauberk.toml").write_text("\n".join(lines))

    def order(self, routing: Routing) -> None:
        write_file(self.folder / "routing.json", msgspec.json.encode(routing))

    def start(self, pod: str, *kserve: str) -> None:
        command = [sys.executable, "-m", "hauberk", "serve", "--state", str(self.folder)]
        command += ["--config", str(self.folder / "hauberk.toml"), "--port", "0", *kserve]
        pairs = {"HAUBERK_REPLICA": pod, "HAUBERK_DIGEST": self.models[PODS[pod]]}
        log = (self.folder / f"{pod}.log").open("wb")
        with log:
            self.processes[pod] = subprocess.Popen(
                command, stderr=log, env={**os.environ, **pairs, "OMP_NUM_THREADS": "1"}
            )
        until((self.own(pod) / "gateway.json").exists)

    def own(self, pod: str) -> Path:
        return self.folder / FOLDER / pod

    def late(self, routing: Routing) -> list[str]:
        ready = [{"type": "Ready", "status": "True"}]
        pods = [{"metadata": {"name": p}, "status": {"conditions": ready}} for p in PODS]
        return behind(self.folder, pods, routing)

    def ask(self, pod: str, n: int = 1) -> None:
        address = json.loads((self.own(pod) / "gateway.json").read_bytes())
        url = f"http://{address['host']}:{address['port']}"
        with V2Client(url, "m", token=CLIENT) as client:
            for _ in range(n):
                client.infer(np.full((1, *SHAPE), 0.5, np.float32))

    def answered(self, count: int) -> list[tuple[str, str]]:
        """The route and the digest of the last ``count`` answers, by the service's own log."""
        until(lambda: len(self.gathered.read(0, 1000)) >= self._seen + count)
        found = self.gathered.read(self._seen, 1000)
        self._seen += count
        return sorted((one.route, one.digest) for one in found)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "state")
    yield fleet
    for process in fleet.processes.values():
        process.kill()
        process.wait()


def test_an_incident_on_two_gateways(fleet: Fleet) -> None:
    stable, canary = PODS
    primary, candidate, twin = fleet.models
    normal = Routing(primary=primary, twin=twin)
    fleet.order(normal)
    # KServe appends flags of its own to every transformer and predictor.
    fleet.start(stable, "--model_name", "m", "--http_port", "8080", "--predictor_host", "x")
    until(lambda: fleet.late(normal) == [canary])
    fleet.ask(stable, 2)
    assert fleet.answered(2) == [("primary", primary)] * 2

    contained = Routing(primary=primary, twin=twin, mode="contained", incident="m-1")
    fleet.order(contained)
    until(lambda: stable not in fleet.late(contained))
    fleet.ask(stable)
    assert fleet.answered(1) == [("twin", twin)], "no pod was started for it"

    trial = msgspec.structs.replace(contained, canary=candidate, canary_share=0.2)
    fleet.order(trial)
    fleet.start(canary)
    until(lambda: fleet.late(trial) == [])
    fleet.ask(stable, 3)
    fleet.ask(canary, 3)
    assert fleet.answered(6) == [("canary", candidate)] * 3 + [("twin", twin)] * 3

    promoted = Routing(primary=candidate, twin=twin)
    fleet.order(promoted)
    until(lambda: fleet.late(promoted) == [])
    for pod in PODS:
        fleet.ask(pod)
    assert fleet.answered(2) == [("primary", candidate)] * 2

    fleet.home.trust.revoke(candidate, "a test", time.time())
    fleet.order(contained)
    until(lambda: fleet.late(contained) == [])
    for pod in PODS:
        fleet.ask(pod)
    assert fleet.answered(2) == [("twin", twin)] * 2, "at once, by the candidate's pod too"


def test_an_order_that_may_not_be_served_changes_nothing(fleet: Fleet) -> None:
    (stable, _), (primary, candidate, _) = PODS, fleet.models
    fleet.order(Routing(primary=primary))
    fleet.start(stable)
    fleet.home.trust.revoke(candidate, "a test", time.time())
    bad = Routing(primary=candidate)
    fleet.order(bad)
    log = fleet.folder / f"{stable}.log"
    until(lambda: "orders not followed" in log.read_text())
    assert stable in fleet.late(bad)
    fleet.ask(stable)
    assert fleet.answered(1) == [("primary", primary)]
