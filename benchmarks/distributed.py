"""Adversarial training by one process and by two: samples a second. ``make bench-distributed``.

Each process computes on one thread, as two share two cores; alternating runs, the best of each, so
that what else the machine does counts as little as can be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Row, at_least, conditions, publish

_TURNS, _SAMPLES, _EPOCHS = 2, 1024, 3
_CODE = """
import json, sys, time
import numpy as np
from hauberk.adapters.models.architectures import build
from hauberk.core.threat import ThreatModel
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.distributed import joined, weights_digest
from hauberk.harden.run import Run
from hauberk.adapters.data.source import load_dataset
samples, epochs, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
data = load_dataset("digits")
train = data.split("train")
train = train.take(np.resize(np.arange(len(train)), samples))
held = data.split("validation").take(np.arange(8))
method = Adversarial(
    epochs=epochs, steps=5, batch_size=256, validation_most=8, validation_steps=1, ramp=0.0,
    precision="float32",
)
seen = []
def note(now):
    seen.append((now.seconds, time.process_time()))
with joined() as team:
    fitted = method.fit(
        build("small-cnn", {"in_shape": [1, 28, 28], "classes": 10}, seed=0), train, held,
        ThreatModel(eps=0.15), seed=0,
        run=Run(team=team, clock=time.perf_counter, progress=note),
    )
    digest = weights_digest(fitted).encode()
    same = team.total(float(team.told(digest) == digest)) == team.size
    if team.leads:
        wall, busy = (min(b[k] - a[k] for a, b in zip(seen, seen[1:])) for k in (0, 1))
        found = {"rate": samples / wall, "cpu": samples / busy, "same": same}
        open(out, "w").write(json.dumps(found))
"""


def rate(processes: int, folder: Path) -> tuple[float, float, bool]:
    """Samples a second in the best epoch but the first, of the clock and of rank 0's processor.

    And whether all processes ended with the same weights.
    """
    out = folder / "out.json"
    options = ("--standalone", "--nproc-per-node", str(processes))
    (folder / "code.py").write_text(_CODE)
    words = (str(folder / "code.py"), str(_SAMPLES), str(_EPOCHS), str(out))
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *options, *words],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    found = json.loads(out.read_text())
    return float(found["rate"]), float(found["cpu"]), bool(found["same"])


def main() -> int:
    alone, both = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_TURNS):
            alone.append(rate(1, Path(folder)))
            both.append(rate(2, Path(folder)))
    (one, one_busy), (two, two_busy) = (
        (max(run[0] for run in runs), max(run[1] for run in runs)) for runs in (alone, both)
    )
    same = all(run[2] for run in both)
    facts = conditions(
        model="small-cnn", steps=5, batch=256, samples=_SAMPLES, threads_per_process=1, turns=_TURNS
    )
    rows = [
        Row(id="samples/s, one process", measured=one),
        Row(id="samples/s, two processes", measured=two, peer=one, ratio=two / one),
        at_least("speed-up of two processes", two / one, 1.6),
        # What two cores of their own would give: waiting for each other costs no processor time.
        Row(id="the same by processor time", measured=two_busy / one_busy),
        Row(id="weights are the same bits", measured=float(same), target="1", holds=same),
    ]
    return publish("distributed", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
