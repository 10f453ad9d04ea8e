"""Our sequential tests beside other libraries' monitors, over the very same streams.

``HAUBERK_DRIFT_PYTHON`` names the interpreters, by colons, of environments that hold river,
frouros, nannyml, evidently and adversarial-robustness-toolbox, some or all; who is in none is left
out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from msgspec.structs import replace

from benchmarks import detection_models
from benchmarks.detection import DETECTORS
from benchmarks.table import Row, conditions, publish
from hauberk.adapters.local.yardstick import QUIET, Bench, summary
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.evaluate.drill import drills
from hauberk.guard.shifts import benign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from hauberk.core.record import Record

NAMES = ("digits", "cifar10")
ATTACKS = ("fgsm", "pgd")
SHARES = {"100 %": 1.0, "30 %": 0.3}
BENIGN = ("clean", "noise 0.05", "brightness +0.15")
RUNS, LONGEST, REQUESTS = 3, 1000, 3000
JUDGE = Path(__file__).parent / "drift_peers" / "judge.py"


class Streams:
    """Pools of inputs with their records, and streams as (pool, place) pairs."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.bench = Bench(detection_models.subject(name, seed), most=150, shifted=150)
        one, rng = self.bench.subject, np.random.default_rng(seed + 20)
        moved = benign(one.stream.x, rng=rng)
        attacked = self.bench.attacks(quick=True)
        x = {"clean": one.stream.x, **{k: moved[k] for k in BENIGN[1:]}}
        self.x = x | {k: attacked[k] for k in ATTACKS}
        self.records = {pool: self.bench.judged(rows) for pool, rows in self.x.items()}
        self.pools = list(self.x)
        self.orders: dict[str, NDArray[np.int64]] = {}
        for pool in BENIGN:
            self.orders[f"benign, {pool}"] = self._drawn(pool, np.ones(REQUESTS, bool), rng)
        for attack in ATTACKS:
            for told, share in SHARES.items():
                for run in range(RUNS):
                    hostile = rng.random(QUIET + LONGEST) < share
                    hostile[:QUIET] = False
                    order = self._drawn(attack, hostile, rng)
                    self.orders[f"{attack}, {told}, {run}"] = order

    def _drawn(
        self, pool: str, of: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Rows of the pool where ``of`` says so, clean ones elsewhere."""
        own = rng.integers(len(self.x[pool]), size=len(of))
        clean = rng.integers(len(self.x["clean"]), size=len(of))
        pools = np.where(of, self.pools.index(pool), self.pools.index("clean"))
        return np.stack((pools, np.where(of, own, clean)), axis=1)

    def write(self, path: Path) -> None:
        """What the peers see, without a pickle."""
        one = self.bench.subject
        found = drills(TorchModel(one.served), one.learn, one.threat, seed=one.seed)
        hostile = [found.hostile[kind] for kind in ("fgsm", "pgd") if kind in found.hostile]
        arrays: dict[str, Any] = {
            "pools": np.array(self.pools),
            "learn/clean": one.learn.x,
            "learn/hostile": np.concatenate(hostile),
            "reference/y": one.calibrate.y,
            **self._seen("reference", one.calibrate.x, self.bench.judged(one.calibrate.x)),
        }
        for pool, x in self.x.items():
            arrays |= self._seen(pool, x, self.records[pool])
        arrays |= {f"stream/{name}": order for name, order in self.orders.items()}
        np.savez(path, **arrays)

    def _seen(self, pool: str, x: NDArray[np.float32], records: Sequence[Record]) -> dict[str, Any]:
        with torch.no_grad():
            logits = self.bench.asked(self.bench.subject.served)(x)
        return {
            f"{pool}/x": x,
            f"{pool}/probs": torch.from_numpy(logits).softmax(1).numpy(),
            f"{pool}/score": np.array([r.score for r in records]),
            f"{pool}/features": np.array([r.features for r in records]),
        }

    def ours(self) -> dict[str, Any]:
        """Our own tests, in the form of the peers' answers."""
        found = {}
        for name, make in DETECTORS.items():
            fresh = make(self.bench)
            began, alarms = time.process_time(), {}
            for stream, order in self.orders.items():
                alarms[stream] = list(_alarms(fresh(), self._rows(order)))
            spent = time.process_time() - began
            requests = sum(map(len, self.orders.values()))
            found[f"ours, {name}"] = {"alarms": alarms, "us": 1e6 * spent / requests}
        return found

    def _rows(self, order: NDArray[np.int64]) -> Iterator[Record]:
        for seq, (pool, place) in enumerate(order.tolist(), start=1):
            record = self.records[self.pools[pool]][place]
            yield replace(record, seq=seq, principal=f"client {seq % 20}")


def _alarms(detector: Any, rows: Iterator[Record]) -> Iterator[int]:
    for place, record in enumerate(rows, start=1):
        if detector.update(record):
            yield place
            if hasattr(detector, "reset"):
                detector.reset()


def beside(streams: Streams) -> dict[str, Any]:
    """What the peers' interpreters find in the streams."""
    found: dict[str, Any] = {}
    wanted = [name for name in os.environ.get("HAUBERK_DRIFT_PYTHON", "").split(":") if name]
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "streams.npz", Path(folder) / "found.json"
        if wanted:
            streams.write(source)
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        for python in wanted:
            subprocess.run([python, str(JUDGE), str(source), str(out)], check=True, env=clean)
            found = json.loads(out.read_text()) | found
    return found


def told(name: str, who: str, facts: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of one detector on one data set."""
    alarms: dict[str, list[int]] = facts["alarms"]
    for pool in BENIGN:
        count = len(alarms[f"benign, {pool}"])
        label = f"{name}: {who}: false alarms in 10000 requests, {pool}"
        yield Row(id=label, measured=count / REQUESTS * 10_000)
    for attack in ATTACKS:
        for share in SHARES:
            waits = [_wait(alarms[f"{attack}, {share}, {run}"]) for run in range(RUNS)]
            label, seen = f"{name}: {who}: requests to alarm, {attack}, {share}", summary(waits)
            yield Row(id=label, measured=seen["median"])
            yield Row(id=f"{label}, share found", measured=seen["found"])
    yield Row(id=f"{name}: {who}: microseconds a request, beside the sensors", measured=facts["us"])


def _wait(alarms: Sequence[int]) -> int | None:
    """Requests from the attack's begin to the alarm; an alarm before it counts as not found."""
    return alarms[0] - QUIET if alarms and alarms[0] > QUIET else None


def main() -> int:
    torch.set_num_threads(1)
    wanted = sys.argv[1].split(",") if len(sys.argv) > 1 else list(NAMES)
    found = []
    for name in wanted:
        streams = Streams(name)
        judged = streams.ours() | beside(streams)
        found += [row for who, facts in judged.items() for row in told(name, who, facts)]
    facts = conditions(
        data=wanted, seed=0, runs=RUNS, longest=LONGEST, requests=REQUESTS, peers=_versions()
    )
    return publish("detection_peers", facts, found)


def _versions() -> dict[str, str]:
    """Of the peers, as their interpreters tell."""
    ask = (
        "import importlib.metadata as m, json\n"
        "names = ['river', 'frouros', 'nannyml', 'evidently', 'adversarial-robustness-toolbox']\n"
        "there = {d.metadata['Name'].lower() for d in m.distributions()}\n"
        "print(json.dumps({n: m.version(n) for n in names if n in there}))"
    )
    found: dict[str, str] = {}
    for python in filter(None, os.environ.get("HAUBERK_DRIFT_PYTHON", "").split(":")):
        out = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
        found = json.loads(out.stdout) | found
    return found


if __name__ == "__main__":
    sys.exit(main())
