"""The gateway as a process of its own, over real sockets, stores and keys."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import numpy as np
import pytest

from hauberk.adapters.http.client import V2Client
from hauberk.adapters.local.home import Home
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, EnvironmentFault, Untrusted
from hauberk.core.ports import Routing
from hauberk.core.spec import parse_spec
from hauberk.faces.gateway.listen import listen
from hauberk.faces.gateway.server import serve
from hauberk.testing.asking import CLIENT
from hauberk.testing.servers import until
from hauberk.testing.toy_onnx import linear_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hauberk.core.spec import Spec

SHAPE = (1, 4, 4)
PROGRAM = """
import json, sys
from pathlib import Path
from hauberk.core.errors import HauberkError
from hauberk.core.spec import parse_spec
from hauberk.faces.gateway.server import serve
try:
    serve(parse_spec(json.loads(sys.argv[1])), state=Path(sys.argv[2]))
except HauberkError as error:
    sys.exit(f"error: {error}")
assert "torch" not in sys.modules
print("clean end")
"""


def tree(**changes: Any) -> dict[str, Any]:
    alice = {"name": "alice", "token_sha256": digest_bytes(CLIENT.encode())}
    return {"model": {"name": "m"}, "serve": {"port": 0, "clients": [alice], **changes}}


@dataclass
class Site:
    """A state directory with signed models, and its gateway."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    home: Home = field(init=False)
    models: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.home = Home.create(self.folder)
        rng = np.random.default_rng(0)
        self.models = []
        for _ in range(3):
            weights = rng.normal(size=(16, 3)).astype(np.float32)
            digest = self.home.store.put(linear_onnx(weights, shape=SHAPE))
            self.home.trust.sign(digest, {"role": "initial", "by": "olga"}, time.time())
            self.models.append(digest)

    def start(self, prelude: str = "", **changes: Any) -> None:
        (self.folder / "gateway.json").unlink(missing_ok=True)
        with (self.folder / "stdout").open("w") as out, (self.folder / "stderr").open("w") as err:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    prelude + PROGRAM,
                    json.dumps(tree(**changes)),
                    str(self.folder),
                ],
                stdout=out,
                stderr=err,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        process = self.process
        until(lambda: (self.folder / "gateway.json").exists() or process.poll() is not None)
        assert process.poll() is None, self.stderr

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def url(self) -> str:
        address = json.loads((self.folder / "gateway.json").read_bytes())
        assert self.process
        assert address["pid"] == self.process.pid
        return f"http://{address['host']}:{address['port']}"

    def client(self) -> V2Client:
        return V2Client(self.url, "m", token=CLIENT)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        assert self.process
        self.process.send_signal(number)
        code = self.process.wait(20)
        return code, (self.folder / "stdout").read_text()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "state")
    yield site
    if site.process and site.process.poll() is None:
        site.process.kill()
        site.process.wait()


def row(n: int = 1) -> Any:
    return np.full((n, *SHAPE), 0.5, np.float32)


class Load:
    """Threads that ask all the time; every failure is kept."""

    def __init__(self, site: Site, threads: int = 2) -> None:
        self.site, self.stop = site, threading.Event()
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self) -> None:
        with self.site.client() as client:
            while not self.stop.is_set():
                try:
                    answer = client.infer(row())
                except Exception as error:
                    self.failures.append(str(error))
                    return
                self.answers.append(answer.parameters["hauberk_digest"])


def test_swaps_over_http_under_load_fail_no_request_and_lose_no_record(site: Site) -> None:
    site.start()
    one, two, _ = site.models
    deployer = site.home.deployer
    assert deployer.routing() is None
    deployer.route(Routing(primary=one))
    load = Load(site)
    for number in range(30):
        deployer.route(Routing(primary=(two, one)[number % 2]))
    load.end()
    assert load.failures == []
    assert set(load.answers) == {one, two}
    assert len(load.answers) > 50
    deployer.route(Routing(primary=two, incident="i-1"))
    assert deployer.routing() == Routing(primary=two, incident="i-1")
    code, out = site.stop()
    assert (code, out) == (0, "clean end\n"), site.stderr
    records = site.home.records.read(0, 10**6)
    assert len(records) == len(load.answers)
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    assert sorted(r.digest for r in records) == sorted(load.answers)


def test_it_says_where_it_serves_and_comes_back_after_kill_9(site: Site) -> None:
    site.start()
    digest = site.models[0]
    site.home.deployer.route(Routing(primary=digest))
    with site.client() as client:
        assert client.infer(row(3)).labels.shape == (3,)
    until(lambda: site.home.records.last_seq() == 3)
    site.stop(signal.SIGKILL)
    site.start()
    line = f"serving m on {site.url} digest {digest}"
    until(lambda: line in site.stderr)
    with site.client() as client:
        client.infer(row())
    code, _ = site.stop(signal.SIGINT)
    assert code == 0
    assert [r.seq for r in site.home.records.read(3, 10)] == [4]


def test_a_revocation_is_noticed_without_being_told(site: Site) -> None:
    site.start()
    site.home.deployer.route(Routing(primary=site.models[0]))

    def ready() -> int:
        return httpx.get(f"{site.url}/v2/health/ready").status_code

    assert ready() == 200
    site.home.trust.revoke(site.models[0], "poisoned", time.time())
    until(lambda: ready() == 503, 10)
    with site.client() as asker, pytest.raises(EnvironmentFault, match="503"):
        asker.infer(row())
    with pytest.raises(Untrusted, match="HB-S003"):
        site.home.deployer.route(Routing(primary=site.models[0]))
    site.home.deployer.route(Routing(primary=site.models[1]))
    assert ready() == 200
    site.stop()
    assert "withheld" in site.stderr


def test_an_unsigned_or_altered_model_is_never_served(site: Site) -> None:
    unsigned = site.home.store.put(linear_onnx(np.eye(16, 3, dtype=np.float32), shape=SHAPE))
    site.start()
    with pytest.raises(Untrusted, match="HB-S002"):
        site.home.deployer.route(Routing(primary=unsigned))
    digest = site.models[0]
    path = site.home.store.path(digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Untrusted, match="HB-S001"):
        site.home.deployer.route(Routing(primary=digest))
    site.stop()
    (site.folder / "routing.json").write_bytes(msgspec.json.encode(Routing(primary=unsigned)))
    site.start()
    assert httpx.get(f"{site.url}/v2/health/ready").status_code == 503
    assert httpx.get(f"{site.url}/v2/health/live").status_code == 200
    address = site.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as rude:
        rude.sendall(b"nonsense\r\n\r\n")
        assert rude.recv(100).startswith(b"HTTP/1.1 400")
    until(lambda: "HB-S002" in site.stderr)
    code, _ = site.stop()
    assert code == 0
    assert not (site.folder / "gateway.json").exists()
    first, *rest = [line for line in site.stderr.splitlines() if not line.startswith("serving m")]
    assert all(json.loads(line)["event"] for line in (first, *rest)), "every other line is JSON"
    assert "Invalid HTTP request" in site.stderr


def test_sigterm_finishes_what_is_in_flight(site: Site) -> None:
    site.start()
    site.home.deployer.route(Routing(primary=site.models[0]))
    half, full = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        text = json.dumps(
            {
                "inputs": [
                    {
                        "name": "x",
                        "datatype": "FP32",
                        "shape": [1, *SHAPE],
                        "data": [0.5] * 16,
                    }
                ]
            }
        ).encode()
        yield text[:20]
        half.set()
        full.wait(10)
        yield text[20:]

    got: list[httpx.Response] = []
    headers = {"Authorization": f"Bearer {CLIENT}", "Content-Type": "application/json"}
    url = f"{site.url}/v2/models/m/infer"
    thread = threading.Thread(
        target=lambda: got.append(httpx.post(url, content=body(), headers=headers))
    )
    thread.start()
    assert half.wait(10)
    time.sleep(0.2)
    assert site.process
    site.process.send_signal(signal.SIGTERM)
    until(lambda: "draining" in site.stderr)
    full.set()
    thread.join(10)
    assert got[0].status_code == 200
    assert site.process.wait(10) == 0
    assert len(site.home.records.read(0, 10)) == 1


def test_sigterm_writes_what_the_tap_still_holds(site: Site) -> None:
    site.start("import hauberk.faces.gateway.tap as tap; tap._GATHER = 1.0")
    site.home.deployer.route(Routing(primary=site.models[0]))
    with site.client() as client:
        client.infer(row(5))
    assert site.stop()[0] == 0
    assert len(site.home.records.read(0, 10)) == 5


def spec_of(**changes: Any) -> Spec:
    return parse_spec(tree(**changes))


def test_a_port_in_use_is_told_in_one_line(site: Site) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match="port is in use"):
            serve(spec_of(port=port), state=site.folder)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "a" * 70])
def test_a_host_that_is_not_ours_is_told_in_one_line(site: Site, host: str) -> None:
    with pytest.raises(EnvironmentFault):
        serve(spec_of(host=host), state=site.folder)


def test_two_gateways_do_not_share_a_directory(site: Site) -> None:
    site.start()
    with pytest.raises(EnvironmentFault, match="another gateway"):
        serve(spec_of(), state=site.folder)
    site.stop()


def test_without_a_set_up_directory_nothing_is_served(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no service"):
        serve(spec_of(), state=tmp_path / "none")
    assert not (tmp_path / "none").exists()
