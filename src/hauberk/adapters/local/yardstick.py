"""The yardstick: what a detector finds, how soon, and how often it is wrong, by one protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from msgspec.structs import replace

from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.carlini_wagner import CarliniWagner
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.record import Record
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.adaptive import evade
from hauberk.evaluate.drill import Pressing, attempts, drills
from hauberk.guard.features import features
from hauberk.guard.pair import Drill, calibrate, look
from hauberk.guard.sensor import View
from hauberk.guard.shifts import FAMILIES, benign, shift
from hauberk.guard.twin import TwinDivergence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from hauberk.core.data import Dataset
    from hauberk.guard.calibration import Calibration

QUIET = 200
"""Clean requests before an attack begins."""
_FILMED = 400
"""Images of which videos are made: of a few alone the figure would be that of those few."""
WEIGHTS = (0.1, 1.0, 10.0)
"""How much the adaptive attacker cares for staying quiet."""


class Detector(Protocol):
    """What is judged: a monitor, or anything that takes records and says when."""

    def update(self, record: Record, /) -> object | None:
        """Something, where it raises an alarm."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A served model, its twin, an independent model, and samples that none was trained on.

    ``learn`` teaches the sensors, ``calibrate`` gives the thresholds, ``stream`` is the traffic.
    """

    name: str
    seed: int
    served: torch.nn.Module
    twin: torch.nn.Module
    other: torch.nn.Module | None
    learn: Dataset
    calibrate: Dataset
    stream: Dataset
    threat: ThreatModel


@dataclass(eq=False)
class Bench:
    """One subject, calibrated; and the records of every stream of the protocol.

    ``most`` samples are attacked, ``shifted`` are shifted.
    """

    subject: Subject
    most: int = 200
    shifted: int = 250
    sensors: bool = True
    digest: str = "sha256:" + "0" * 64
    accuracy: dict[str, float] = field(default_factory=dict)

    @cached_property
    def calibration(self) -> Calibration:
        """Thresholds, with the panel of sensors that drills taught; or the twin's alone."""
        one = self.subject
        drill = None
        if self.sensors:
            found = drills(self._served, one.learn, one.threat, seed=one.seed)
            drill = Drill(
                x=one.learn.x[:512],
                hostile=found.hostile,
                harmless=found.harmless,
                attempts=attempts(self._served, one.calibrate, one.threat, seed=one.seed),
            )
        return calibrate(
            self.asked(one.served),
            self.asked(one.twin),
            one.calibrate.x,
            rng=np.random.default_rng(one.seed),
            bounds=one.calibrate.bounds,
            drill=drill if drill and drill.hostile else None,
        )

    @property
    def _served(self) -> TorchModel:
        return TorchModel(self.subject.served)

    def asked(self, module: torch.nn.Module) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
        """A module as a function of arrays."""

        def ask(x: NDArray[np.float32]) -> NDArray[Any]:
            with torch.no_grad():
                out: NDArray[Any] = module(torch.from_numpy(np.ascontiguousarray(x))).numpy()
            return out

        return ask

    def judged(self, x: NDArray[np.float32]) -> list[Record]:
        """Records of inputs, as the gateway would write them but for place and principal."""
        one, fitted = self.subject, self.calibration
        view = look(self.asked(one.served), self.asked(one.twin), x)
        if fitted.panel is None:
            score = TwinDivergence().score(view.primary, view.twin)
            hedges = np.empty((len(score), 0))
        else:
            readings = fitted.panel.readings(view)
            score, hedges = fitted.panel.score(readings), fitted.p_hedges(readings)
        p, p_benign = fitted.p_values(score)
        flat = x if x.ndim in {2, 4} else x.reshape(len(x), -1)
        top = np.exp(view.primary - view.primary.max(1, keepdims=True))
        sure = top.max(1) / top.sum(1)
        rows = zip(p, p_benign, score, hedges, features(flat), sure, strict=True)
        return [
            Record(
                id="",
                seq=0,
                at=0.0,
                principal="",
                digest=self.digest,
                route="primary",
                outcome="pass",
                label=int(view.primary[place].argmax()),
                twin_label=int(view.twin[place].argmax()),
                score=float(s),
                p_value=float(a),
                p_benign=float(b),
                p_hedges=tuple(map(float, h)),
                features=tuple(map(float, f)),
                confidence=float(c),
            )
            for place, (a, b, s, h, f, c) in enumerate(rows)
        ]

    @cached_property
    def clean(self) -> list[Record]:
        """Untouched traffic."""
        self.accuracy["clean"] = self._right(self.subject.stream.x, self.subject.stream.y)
        return self.judged(self.subject.stream.x)

    def benign(self) -> dict[str, list[list[Record]]]:
        """Benign streams by name; each is a list of runs of requests that come together.

        The calibrated shifts with fresh noise, the same in between their strengths, and three
        kinds of traffic whose requests resemble each other: video, retries, and augmented copies.
        """
        x = self.subject.stream.x[: self.shifted]
        rng = np.random.default_rng(self.subject.seed + 1)
        found = {name: [[r] for r in self.judged(v)] for name, v in benign(x, rng=rng).items()}
        if x.ndim == 4:
            between = {"noise 0.07": ("noise", 0.07), "rotation +11": ("rotation", 11.0)}
            for name, (kind, strength) in between.items():
                if name not in FAMILIES:
                    moved = shift(x, kind, strength, rng=rng)
                    found[f"between: {name}"] = [[r] for r in self.judged(moved)]
        few = self.subject.stream.x[:_FILMED]
        jitter = [np.clip(few + rng.normal(0, 0.01, few.shape), 0, 1) for _ in range(5)]
        frames = [self.judged(v.astype(np.float32)) for v in jitter]
        runs = [[frames[k % 5][i] for k in range(20)] for i in range(len(few))]
        found["video, 20 frames"] = runs
        found["retries, 5 times"] = [[r] * 5 for r in self.clean[: self.shifted]]
        found["augmented, 5 copies"] = [[f[i] for f in frames] for i in range(len(few))]
        return found

    def attacks(self, *, quick: bool = False) -> dict[str, NDArray[np.float32]]:
        """Attacked inputs by name, those that fool the model alone where there are enough."""
        one = self.subject
        rows = np.arange(min(self.most, len(one.stream)))
        batch = Batch(
            torch.from_numpy(one.stream.x[rows]), torch.from_numpy(one.stream.y[rows]), rows
        )
        press, stop = Pressing(), Classification()
        far = ThreatModel(norm="l2", eps=_l2(one.threat, one.stream.shape))
        plan: dict[str, tuple[Any, torch.nn.Module, Any, ThreatModel]] = {
            "fgsm": (FGSM(), one.served, press, one.threat),
            "pgd": (PGD(steps=20), one.served, press, one.threat),
            "pgd that stops": (PGD(steps=20), one.served, stop, one.threat),
            "transfer from the twin": (PGD(steps=20), one.twin, press, one.threat),
        }
        if one.other is not None:
            plan["transfer from another"] = (PGD(steps=20), one.other, press, one.threat)
        if not quick:
            plan["carlini-wagner"] = (CarliniWagner(), one.served, stop, far)
            plan["square"] = (Square(queries=500), one.served, stop, one.threat)
        found = {}
        for name, (attack, module, task, threat) in plan.items():
            rng = np.random.default_rng(one.seed + 2)
            points = attack(TorchModel(module), batch, threat, task=task, rng=rng)
            found[name] = self._fooling(name, points, batch)
        for weight in () if quick else WEIGHTS:
            found[f"adaptive, weight {weight:g}"] = self._evading(batch, weight)
        if "pgd" in found:
            noisy = found["pgd"] + np.random.default_rng(3).normal(0, 0.02, found["pgd"].shape)
            found["pgd, query noise"] = np.clip(noisy, 0, 1).astype(np.float32)
        return found

    def _evading(self, batch: Batch, weight: float) -> NDArray[np.float32]:
        panel = self.calibration.panel
        one = self.subject
        if panel is None:
            return np.empty((0, *one.stream.shape), dtype=np.float32)

        def score(x: torch.Tensor) -> torch.Tensor:
            view = View(x=x, primary=one.served(x), twin=one.twin(x), ask=one.served)
            out: torch.Tensor = panel.surrogate(view)
            return out

        points = evade(
            one.served, score, batch.x, batch.y, one.threat, task=Classification(), weight=weight
        )
        return self._fooling(f"adaptive, weight {weight:g}", points, batch)

    def _fooling(self, name: str, points: torch.Tensor, batch: Batch) -> NDArray[np.float32]:
        x = points.numpy().astype(np.float32)
        with torch.no_grad():
            wrong = (self.subject.served(points).argmax(1) != batch.y).numpy()
        self.accuracy[name] = float(1 - wrong.mean())
        return x[wrong] if wrong.sum() >= 8 else x

    def _right(self, x: NDArray[np.float32], y: NDArray[np.int64]) -> float:
        logits = look(self.asked(self.subject.served), self.asked(self.subject.twin), x).primary
        return float((logits.argmax(1) == y).mean())


@dataclass(frozen=True)
class Mix:
    """Who sends what share: ``sybils`` names for the attacker, who hides among 20 clients."""

    share: float = 1.0
    sybils: int = 1


def delay(
    make: Callable[[], Detector],
    clean: Sequence[Record],
    hostile: Sequence[Record],
    mix: Mix,
    *,
    longest: int,
    rng: np.random.Generator,
) -> int | None:
    """Requests from the first hostile one to the alarm, after 200 clean ones; None if not found.

    An alarm among the 200 counts as not found: it is a false one.
    """
    detector = make()
    for seq in range(1, QUIET + longest + 1):
        attacked = seq > QUIET and (mix.share >= 1 or rng.random() < mix.share)
        rows = hostile if attacked else clean
        who = f"mallory {rng.integers(mix.sybils)}" if attacked else f"client {rng.integers(20)}"
        if detector.update(_sent(rows[int(rng.integers(len(rows)))], seq, who)):
            return seq - QUIET if seq > QUIET else None
    return None


def false_alarms(
    make: Callable[[], Detector],
    runs: Sequence[Sequence[Record]],
    count: int,
    *,
    rng: np.random.Generator,
) -> int:
    """Alarms over ``count`` requests of runs drawn at random, each run from one of 20 clients."""
    detector, seq, found = make(), 0, 0
    while seq < count:
        who = f"client {rng.integers(20)}"
        for row in runs[int(rng.integers(len(runs)))]:
            seq += 1
            if detector.update(_sent(row, seq, who)):
                found += 1
                reset = getattr(detector, "reset", None)
                if reset is not None:
                    reset()
    return found


def summary(delays: Sequence[int | None]) -> Mapping[str, float | None]:
    """Median and 90th percentile, a delay that was not found counting as endless; share found."""
    found = sorted(np.inf if d is None else d for d in delays)
    middle = found[(len(found) - 1) // 2]
    late = found[min(len(found) - 1, int(np.ceil(0.9 * len(found))) - 1)]
    return {
        "median": float(middle) if np.isfinite(middle) else None,
        "p90": float(late) if np.isfinite(late) else None,
        "found": float(np.mean(np.isfinite(found))),
    }


def _sent(record: Record, seq: int, who: str) -> Record:
    return replace(record, seq=seq, id=str(seq), at=float(seq), principal=who)


def _l2(threat: ThreatModel, shape: tuple[int, ...]) -> float:
    """The L2 length of a corner of the threat's ball: what an L2 attack may use as well."""
    return float(threat.eps * np.sqrt(np.prod(shape)))
