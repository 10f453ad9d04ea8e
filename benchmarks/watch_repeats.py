"""Video, retries and augmented copies: false alarms, and what it costs to count them as one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import detection_models
from benchmarks.table import Row, at_most
from hauberk.adapters.local.yardstick import Bench, Mix, delay, false_alarms, summary
from hauberk.monitor.station import monitors

if TYPE_CHECKING:
    from hauberk.adapters.local.yardstick import Detector
    from hauberk.guard.calibration import Calibration

STREAMS = {"video, 20 frames": 20.0, "retries, 5 times": 5.0, "augmented, 5 copies": 5.0}
REQUESTS, RUNS = 20_000, 9


def repeats(name: str = "digits") -> list[Row]:
    """False alarms with and without, and requests to the alarm where all are hostile."""
    bench = Bench(detection_models.subject(name, 0), most=150, shifted=150)
    rng, fitted = np.random.default_rng(40), bench.calibration
    benign = bench.benign()
    out = []
    for stream, count in STREAMS.items():
        for told in (1.0, count):
            for level in ("attack", "model"):
                found = false_alarms(
                    partial(_made, level, fitted, told), benign[stream], REQUESTS, rng=rng
                )
                label = f"{name}: {level}: false alarms in 10000 requests, {stream}, "
                label += f"repeats {told:g}"
                figure = found / REQUESTS * 10_000
                row = Row(id=label, measured=figure)
                out.append(row if told == 1 else at_most(label, figure, 1))
    hostile = bench.attacks(quick=True)
    for attack in ("fgsm", "pgd"):
        seen = bench.judged(hostile[attack])
        for told in (1.0, 5.0, 20.0):
            make = partial(_made, "attack", fitted, told)
            waits = [
                delay(make, bench.clean, seen, Mix(1.0), longest=1000, rng=rng) for _ in range(RUNS)
            ]
            label = f"{name}: attack: requests to alarm, {attack}, 100 %, repeats {told:g}"
            out.append(Row(id=label, measured=summary(waits)["median"]))
    return out


def _made(level: str, fitted: Calibration, told: float) -> Detector:
    return monitors(fitted, repeats=told, only=(level,))[level]
