"""Detection on digits: false alarms over 10 000 clean requests, delay at several attack shares."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.table import Row, at_most, conditions, publish
from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.local.work import recipe
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.record import Record
from hauberk.core.spec import Spec
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.faces.cli.red_team import Pressed
from hauberk.guard.features import features
from hauberk.guard.pair import calibrate
from hauberk.guard.shifts import shift
from hauberk.guard.twin import TwinDivergence
from hauberk.harden.clean import Clean
from hauberk.monitor.drift import DriftMonitor
from hauberk.monitor.suspicion import SuspicionMonitor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.calibration import Calibration

EPS, SEEDS = 0.15, (0, 1, 2)
CLEAN, LONGEST = 10_000, 8_000
BENIGN = {
    "noise .1": ("noise", 0.1),
    "brightness +.15": ("brightness", 0.15),
    "rotation 15": ("rotation", 15.0),
}


class Pair:
    """A model and its twin on digits, and what both make of the test split."""

    def __init__(self, seed: int) -> None:
        data = load_dataset("digits")
        train, validation = data.split("train"), data.split("validation")
        params = {"in_shape": list(data.shape), "classes": data.classes}
        threat = ThreatModel(eps=EPS)
        self.served = Clean().fit(build("cnn", params, seed=seed), train, validation, seed=seed)
        self.twin = recipe(Spec(), len(train), share=0.6).fit(
            build("cnn", params, seed=seed + 100), train, validation, threat, seed=seed + 100
        )
        self.calibration: Calibration = calibrate(
            lambda x: self.ask(self.served, x),
            lambda x: self.ask(self.twin, x),
            data.split("calibration").x,
            rng=np.random.default_rng(0),
        )
        self.test, self.threat, self.seed = data.split("test"), threat, seed

    @staticmethod
    def ask(module: torch.nn.Module, x: NDArray[np.float32]) -> NDArray[np.floating]:
        with torch.no_grad():
            answer: NDArray[np.floating] = module(torch.from_numpy(x)).numpy()
        return answer

    def judged(self, x: NDArray[np.float32]) -> list[tuple[float, float, tuple[float, ...]]]:
        """``(p_value, p_benign, features)`` of each row, as the gateway would record them."""
        score = TwinDivergence().score(self.ask(self.served, x), self.ask(self.twin, x))
        clean, benign = self.calibration.p_values(score)
        rows = zip(clean, benign, features(x), strict=True)
        return [(float(p), float(q), tuple(map(float, f))) for p, q, f in rows]

    def crafted(self, attack: FGSM | PGD, *, stealthy: bool = False) -> NDArray[np.float32]:
        batch = Batch(
            torch.from_numpy(self.test.x), torch.from_numpy(self.test.y), np.arange(len(self.test))
        )
        points = attack(
            TorchModel(self.served),
            batch,
            self.threat,
            task=Classification() if stealthy else Pressed(),
            rng=np.random.default_rng(self.seed),
        )
        return points.numpy()


Judged = list[tuple[float, float, tuple[float, ...]]]


def record(seq: int, row: tuple[float, float, tuple[float, ...]], who: str) -> Record:
    return Record(
        id=str(seq),
        seq=seq,
        at=float(seq),
        principal=who,
        digest="sha256:" + "0" * 64,
        route="primary",
        outcome="pass",
        label=0,
        p_value=row[0],
        p_benign=row[1],
        features=row[2],
    )


def alarms(pair: Pair, rows: Judged, n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Attack alarms and drift alarms over ``n`` requests drawn from ``rows``."""
    monitors: tuple[SuspicionMonitor | DriftMonitor, ...] = (
        SuspicionMonitor(calibration=pair.calibration),
        DriftMonitor(calibration=pair.calibration),
    )
    found = [0, 0]
    for seq in range(1, n + 1):
        one = record(seq, rows[rng.integers(len(rows))], f"client-{rng.integers(20)}")
        for place, monitor in enumerate(monitors):
            found[place] += monitor.update(one) is not None
    return found[0], found[1]


def delay(
    pair: Pair, clean: Judged, hostile: Judged, share: float, rng: np.random.Generator
) -> int:
    """Requests from the first hostile one until the alarm, after 200 clean ones."""
    monitor = SuspicionMonitor(calibration=pair.calibration)
    for seq in range(1, 200 + LONGEST + 1):
        attacked = seq > 200 and rng.random() < share
        rows = hostile if attacked else clean
        who = "mallory" if attacked and share == 1.0 else f"client-{rng.integers(20)}"
        if monitor.update(record(seq, rows[rng.integers(len(rows))], who)):
            return seq - 200
    return LONGEST


def main() -> int:
    torch.set_num_threads(1)
    false, drifts, delays = [], [], dict[tuple[str, float], list[int]]()
    benign: dict[str, list[tuple[int, int]]] = {}
    for seed in SEEDS:
        pair, rng = Pair(seed), np.random.default_rng(seed)
        clean = pair.judged(pair.test.x)
        attack, drift = alarms(pair, clean, CLEAN, rng)
        false.append(attack)
        drifts.append(drift)
        for name, (kind, strength) in BENIGN.items():
            moved = pair.judged(shift(pair.test.x, kind, strength, rng=rng))
            benign.setdefault(name, []).append(alarms(pair, moved, 2000, rng))
        for name, points in (
            ("fgsm", pair.crafted(FGSM())),
            ("pgd to the last step", pair.crafted(PGD(steps=20))),
            ("pgd that stops at success", pair.crafted(PGD(steps=20), stealthy=True)),
        ):
            hostile = pair.judged(points)
            for share, runs in ((1.0, 10), (0.3, 5), (0.05, 3)):
                found = [delay(pair, clean, hostile, share, rng) for _ in range(runs)]
                delays.setdefault((name, share), []).extend(found)
    rows = [
        at_most("false attack alarms, clean streams of 10 000", sum(false), 0),
        at_most("false drift alarms, clean streams of 10 000", sum(drifts), 0),
    ]
    for name, pairs in benign.items():
        rows.append(at_most(f"attack alarms on {name}", sum(one for one, _ in pairs), 0))
        called = sum(two for _, two in pairs) / len(pairs)
        rows.append(Row(id=f"share of {name} streams called drift", measured=called))
    for (name, share), found in delays.items():
        missed = sum(one == LONGEST for one in found) / len(found)
        label = f"{name} at {share:.0%}: requests to alarm"
        middle, most = float(np.median(found)), float(max(found))
        if share == 1.0 and "stops" not in name:
            rows += [
                Row(id=f"{label}, median", measured=middle),
                at_most(f"{label}, most", most, 50),
            ]
        else:
            rows.append(Row(id=f"{label}, median", measured=middle))
            rows.append(
                Row(id=f"{name} at {share:.0%}: share not found in {LONGEST}", measured=missed)
            )
    facts = conditions(data="digits", eps=EPS, seeds=list(SEEDS), alpha=0.01, calibration=270)
    return publish("detection", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
