"""What one unit of work costs, measured here and now: the inputs of the simulation."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table import RESULTS
from hauberk.access.quota import Charge
from hauberk.adapters.kserve.replicas import FOLDER, GatheredRecords
from hauberk.adapters.kubernetes.kinds import SHIELD
from hauberk.adapters.local.home import Home
from hauberk.adapters.local.records import RecordLog
from hauberk.adapters.redis.guard_state import RedisGuardState
from hauberk.adapters.redis.quotas import RedisQuotas
from hauberk.core.record import Record
from hauberk.core.spec import LoopSpec
from hauberk.faces.gateway.hand_over import HandOver
from hauberk.faces.operator.shield import Defaults, Shield
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import NAMES
from hauberk.loop.lookout import Lookout, Watchers
from hauberk.loop.state import begin
from hauberk.monitor.drift import DriftMonitor
from hauberk.monitor.suspicion import SuspicionMonitor
from hauberk.testing.kube.process import ApiServer
from hauberk.testing.kube.stage import IMAGE, Stage, calibration, define

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.core.ports import Routing


@dataclass(frozen=True, kw_only=True)
class Costs:
    """CPU seconds and bytes of one unit of work; ``turn_wall`` is the disk's and the clock's.

    ``request``: a request in the gateway. ``record_bytes``: a record on the volume, ``gather``: it
    is read and written again by the operator, ``fold``: it goes through the monitors. ``round``: a
    round of a shield in which nothing happens. ``alarm``: the turns that contain a service.
    ``quota``: a decision in the Redis server, None where there is none to measure; ``streamed``: a
    record told to it and read from it once, ``told`` and ``read`` what that costs a gateway and the
    operator.
    """

    request: float
    record_bytes: float
    gather: float
    fold: float
    round: float
    alarm: float
    alarm_wall: float
    quota: float | None
    streamed: float | None
    told: float | None
    read: float | None


def measure() -> Costs:
    """All of them, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size, gather = _gathering(root / "gather")
        idle, alarm, wall = _operating(root / "operator")
        streamed, told, read = _stream(root / "stream")
        return Costs(
            request=_gateway("28x28 CPU ms a request") / 1000,
            record_bytes=size,
            gather=gather,
            fold=_folding(),
            round=idle,
            alarm=alarm,
            alarm_wall=wall,
            quota=_quota(root / "redis"),
            streamed=streamed,
            told=told,
            read=read,
        )


def record(seq: int, digest: str) -> Record:
    """A record as the gateway writes it."""
    return Record(
        id=f"{seq:032x}",
        seq=seq,
        at=time.time(),
        principal=f"client-{seq % 40}",
        digest=digest,
        route="primary",
        outcome="pass",
        label=seq % 10,
        twin_label=seq % 10,
        score=0.123456,
        p_value=(seq * 0.618) % 1,
        p_benign=(seq * 0.618) % 1,
        features=tuple(0.1234567 * i for i in range(len(NAMES))),
        latency_ms=0.512,
        policy="roles",
    )


def _gateway(name: str) -> float:
    rows = json.loads((RESULTS / "gateway.json").read_text())["rows"]
    return float(next(row["measured"] for row in rows if row["id"] == name))


def _gathering(folder: Path, n: int = 20_000) -> tuple[float, float]:
    """Bytes of a record, and CPU to take it over into the service's own log."""
    log = RecordLog(folder / FOLDER / "pod" / "records")
    log.append([record(seq, "sha256:" + "a" * 64) for seq in range(1, n + 1)])
    size = sum(path.stat().st_size for path in log.folder.glob("*.jsonl")) / n
    log.close()
    gathered, after = GatheredRecords(folder, RecordLog(folder / "records")), 0
    began = time.process_time()
    while found := gathered.read(after, 4096):
        after = found[-1].seq
    spent = time.process_time() - began
    gathered.own.close()
    return size, spent / n


def _folding(n: int = 20_000) -> float:
    """CPU of a record in the monitors that every service has."""
    from hauberk.core.ports import Routing  # noqa: PLC0415

    digest = "sha256:" + "a" * 64
    fitted = Calibration.from_bytes(calibration())
    state = begin("m", LoopSpec(), Routing(primary=digest))
    watchers = Watchers(
        monitors=lambda _: [
            SuspicionMonitor(alpha=0.01, calibration=fitted),
            DriftMonitor(calibration=fitted, alpha=0.01),
        ],
        tally=lambda _: SuspicionMonitor(alpha=0.01, calibration=fitted),
    )
    lookout = Lookout(state, watchers, seq=0)
    rows = [record(seq, digest) for seq in range(1, n + 1)]
    began = time.process_time()
    for row in rows:
        lookout.fold(row)
    return (time.process_time() - began) / n


def _operating(folder: Path) -> tuple[float, float, float]:
    """CPU of an idle round; CPU and wall time from the alarm's records to the containment."""
    with ApiServer.start(folder / "api") as api:
        define(api.kubeconfig)
        stage = Stage.open(api.kubeconfig, folder)
        try:
            idle, alarms = [], []
            for number in range(5):
                name = f"m{number}"
                routing = stage.set_up(name)
                stage.service(name)
                stage.shield(name)
                tree = stage.cluster.get(SHIELD, name) or {}
                shield = Shield(tree, stage.cluster, Defaults(state=stage.state, image=IMAGE))
                shield.round(tree)
                idle.append(min(_cpu(lambda: shield.round(tree)) for _ in range(50)))  # noqa: B023
                alarms.append(_contained(stage, name, routing, shield, tree))
            return min(idle), min(a for a, _ in alarms), min(w for _, w in alarms)
        finally:
            stage.close()


def _contained(
    stage: Stage, name: str, routing: Routing, shield: Shield, tree: dict[str, Any]
) -> tuple[float, float]:
    stage.attack(name, routing.primary)
    wall, cpu = time.perf_counter(), time.process_time()
    shield.round(tree)
    assert shield.state
    assert shield.state.phase == "hardening"
    assert Home(stage.state / name).ledger.entries(kind="incident")
    return time.process_time() - cpu, time.perf_counter() - wall


def _cpu(act: Callable[[], None]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


def _quota(folder: Path, n: int = 5000) -> float | None:
    """CPU of the Redis server for one decision: a request of one client, four bounds."""
    with _redis(folder) as server:
        if server is None:
            return None
        url, pid = server
        quotas = RedisQuotas(url)
        before = _server_cpu(pid)
        for number in range(n):
            client = f"c{number % 100}"
            quotas.take([Charge(f"{client}:{k}", 1.0, 1e-6, 1e9) for k in range(4)], at=0.0)
        spent = _server_cpu(pid) - before
        quotas.close()
        return spent / n


def _stream(folder: Path, n: int = 60_000) -> tuple[float | None, float | None, float | None]:
    """CPU a record of the Redis server, of a gateway that tells and of an operator that reads."""
    with _redis(folder) as server:
        if server is None:
            return None, None, None
        url, pid = server
        state = RedisGuardState(url, service="m", room=50_000)
        log = RecordLog(folder / "records")
        log.append([record(seq, "sha256:" + "a" * 64) for seq in range(1, n + 1)])
        before = _server_cpu(pid)
        hand_over = HandOver(log, state)
        hand_over._start = 0  # noqa: SLF001 - as a gateway's, which began with an empty log

        def tell() -> None:
            while hand_over.step():
                pass

        def read() -> None:
            after = 0
            while found := state.read(after, 512):
                after = found[-1].seq

        told, taken = _cpu(tell), _cpu(read)
        spent = _server_cpu(pid) - before
        log.close()
        state.close()
        return spent / n, told / n, taken / 50_000


@contextmanager
def _redis(folder: Path) -> Iterator[tuple[str, int] | None]:
    """A Redis of its own, by its URL and its process; None where there is none."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        yield None
        return
    folder.mkdir()
    path = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir"]
    server = subprocess.Popen([*command, str(folder)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield f"unix://{path}", server.pid
    finally:
        server.terminate()
        server.wait()


def _server_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # user and system, in ticks of 10 ms
