"""Adversarial training by one process and by two: samples a second. ``make bench-distributed``.

Each process computes on one thread, as two share two cores; alternating runs, the best of each, so
that what else the machine does counts as little as can be. Two processes that train apart, each on
half of the data in batches of half the size, show what the machine gives to two at once: what the
two that train together stay below that is the price of keeping step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Row, at_least, conditions, publish

_TURNS, _SAMPLES, _EPOCHS = 2, 1024, 4
_CODE = """
import json, sys, time
import numpy as np
from hauberk.adapters.models.architectures import build
from hauberk.core.threat import ThreatModel
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.distributed import Team, joined, weights_digest
from hauberk.harden.run import Run
from hauberk.adapters.data.source import load_dataset
samples, epochs, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
apart = sys.argv[4] == "apart"
data = load_dataset("digits")
train = data.split("train")
train = train.take(np.resize(np.arange(len(train)), samples // (2 if apart else 1)))
held = data.split("validation").take(np.arange(8))
method = Adversarial(
    epochs=epochs, steps=5, batch_size=128 if apart else 256, validation_most=8,
    validation_steps=1, ramp=0.0, precision="float32",
)
seen = []
def note(now):
    seen.append((time.perf_counter(), time.process_time()))
with joined() as team:
    team.total(0.0)
    fitted = method.fit(
        build("small-cnn", {"in_shape": [1, 28, 28], "classes": 10}, seed=0), train, held,
        ThreatModel(eps=0.15), seed=0,
        run=Run(team=Team() if apart else team, clock=time.perf_counter, progress=note),
    )
    digest = weights_digest(fitted).encode()
    same = team.total(float(team.told(digest) == digest)) == team.size
    walls = [b[0] - a[0] for a, b in zip(seen, seen[1:])] or [0.0]
    both = team.total(len(train) / min(walls)) if apart else 0.0
    if team.leads:
        busy = min(b[1] - a[1] for a, b in zip(seen, seen[1:]))
        rate = both or samples / min(walls)
        found = {"rate": rate, "cpu": samples / busy, "same": same}
        open(out, "w").write(json.dumps(found))
"""


def rate(processes: int, folder: Path, how: str = "together") -> tuple[float, float, bool]:
    """Samples a second in the best epoch but the first, of the clock and of rank 0's processor.

    And whether all processes ended with the same weights. ``apart`` they do not speak.
    """
    out = folder / "out.json"
    options = ("--standalone", "--nproc-per-node", str(processes))
    (folder / "code.py").write_text(_CODE)
    words = (str(folder / "code.py"), str(_SAMPLES), str(_EPOCHS), str(out), how)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *options, *words],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    found = json.loads(out.read_text())
    return float(found["rate"]), float(found["cpu"]), bool(found["same"])


def main() -> int:
    alone, both, apart = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_TURNS):
            alone.append(rate(1, Path(folder)))
            both.append(rate(2, Path(folder)))
            apart.append(rate(2, Path(folder), "apart"))
    (one, one_busy), (two, two_busy) = (
        (max(run[0] for run in runs), max(run[1] for run in runs)) for runs in (alone, both)
    )
    same = all(run[2] for run in both)
    ceiling = max(run[0] for run in apart)
    facts = conditions(
        model="small-cnn", steps=5, batch=256, samples=_SAMPLES, threads_per_process=1, turns=_TURNS
    )
    rows = [
        Row(id="samples/s, one process", measured=one),
        Row(id="samples/s, two processes", measured=two, peer=one, ratio=two / one),
        at_least("speed-up of two processes", two / one, 1.6),
        Row(id="samples/s, two that do not speak", measured=ceiling, peer=one, ratio=ceiling / one),
        Row(id="share of what the machine gives to two", measured=two / ceiling),
        # What two cores of their own would give: waiting for each other costs no processor time.
        Row(id="the same by processor time", measured=two_busy / one_busy),
        Row(id="weights are the same bits", measured=float(same), target="1", holds=same),
    ]
    return publish("distributed", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
