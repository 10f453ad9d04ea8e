"""What the watch says of streams that repeat themselves, before anyone set ``detect.repeats``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from benchmarks import detection_models
from benchmarks.table import Row
from hauberk.guard.fingerprint import Fingerprint
from hauberk.monitor.alike import alike
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

IMAGES, CLIENTS = 300, 20
LENGTHS = {"video, 20 frames": 20, "augmented, 5 copies": 5, "retries, 5 times": 5, "clean": 1}


def told() -> list[Row]:
    """Requests in a row that show the same thing, as it says, on four data sets; 1 is not told."""
    base = toy_records(1, calibration=toy_calibration())[0]
    mark, out = Fingerprint(b"a key of sixteen bytes"), []
    for name in detection_models.NAMES:
        x = detection_models.training_data(name).x[:IMAGES]
        rng = np.random.default_rng(0)
        clean = mark(x)
        jitter = [
            mark(np.clip(x + rng.normal(0, 0.01, x.shape), 0, 1).astype(np.float32))
            for _ in range(5)
        ]
        for stream, length in LENGTHS.items():
            seen = [clean] if stream in {"retries, 5 times", "clean"} else jitter
            runs = [[seen[k % len(seen)][i] for k in range(length)] for i in range(IMAGES)]
            found = alike(_sent(runs, base))
            value = found[""].repeats if found else 1.0
            close = abs(value - length) <= 0.1 * length
            label = f"{name}: {stream}: in a row, as the watch says"
            out.append(Row(id=label, measured=value, target=f"{length} by a tenth", holds=close))
    return out


def _sent(runs: list[list[str]], base: Record) -> list[Record]:
    return [
        replace(base, principal=f"client {number % CLIENTS}", tenant="", fingerprint=one)
        for number, run in enumerate(runs)
        for one in run
    ]
