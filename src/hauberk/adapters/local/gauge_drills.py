"""Traffic for the accuracy gauge: a pair's answers to simulated shifts and attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.adapters.local.gauge_shifts import PLAIN, SPATIAL, changed
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.drill import Pressing
from hauberk.evaluate.gauging import Traffic, draw, fit
from hauberk.guard.features import features
from hauberk.guard.pair import look
from hauberk.guard.shifts import shift
from hauberk.guard.signals import Window
from hauberk.guard.twin import TwinDivergence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hauberk.adapters.models.torch_model import TorchModel
    from hauberk.core.data import Dataset
    from hauberk.guard.calibration import Calibration
    from hauberk.guard.gauge import Gauge

    Answer = Callable[[NDArray[np.float32]], NDArray[Any]]

WINDOW, EACH = 200, 6
_SHIFTS: Mapping[str, tuple[float, ...]] = {
    "noise": (0.03, 0.08, 0.15, 0.25),
    "brightness": (-0.3, -0.15, 0.15, 0.3),
    "contrast": (0.4, 0.7, 1.4),
    "rotation": (-25.0, -12.0, 8.0, 18.0),
    "blur": (0.7, 1.2, 2.0),
    "translation_x": (-3.0, 2.0),
    "translation_y": (-2.0, 3.0),
}
_SPACE = {"rotation", "blur", "translation_x", "translation_y"}
_PARTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A calibrated pair: the served model with gradients, and both as they are asked."""

    model: TorchModel
    primary: Answer
    twin: Answer
    calibration: Calibration


def traffic(
    pair: Asked, data: Dataset, threat: ThreatModel, *, most: int, seed: int
) -> tuple[Traffic, dict[str, Traffic]]:
    """Clean traffic of the data, and of at most ``most`` samples under each shift and attack."""
    x, y = data.x[:most], data.y[:most]
    rng = np.random.default_rng(seed)

    def seen(family: str, points: NDArray[np.float32], truth: NDArray[np.int64]) -> Traffic:
        return _seen(family, points, truth, pair)

    kinds: dict[str, Traffic] = {}
    for kind, strengths in _SHIFTS.items():
        if kind in _SPACE and x.ndim != 4:
            continue
        for strength in strengths:
            moved = shift(x, kind, strength, rng=rng, bounds=data.bounds)
            kinds[f"{kind} {strength:g}"] = seen(kind, moved, y)
    low, high = data.bounds.low, data.bounds.high
    unit = (x - low) / (high - low)
    for kind, strengths in {**PLAIN, **(SPATIAL if x.ndim == 4 else {})}.items():
        for strength in strengths:
            moved = low + (high - low) * changed(unit, kind, strength, rng)
            kinds[f"{kind} {strength:g}"] = seen(kind, moved.astype(np.float32), y)
    batch = Batch(torch.from_numpy(x), torch.from_numpy(y), np.arange(len(x)))
    plan = (
        ("fgsm", FGSM(), Pressing()),
        ("pgd", PGD(steps=10), Pressing()),
        ("pgd that stops", PGD(steps=20), Classification()),
    )
    for name, attack, task in plan if threat.norm in {"linf", "l2"} else ():
        for part in _PARTS:
            near = ThreatModel(norm=threat.norm, eps=threat.eps * part)
            points = attack(pair.model, batch, near, task=task, rng=np.random.default_rng(seed))
            kinds[f"{name}, eps x {part:g}"] = seen(name, points.numpy().astype(np.float32), y)
    return seen("clean", data.x, data.y), kinds


def gauge(
    clean: Traffic, kinds: Mapping[str, Traffic], calibration: Calibration, *, seed: int
) -> Gauge:
    """Fit the gauge of a pair on its simulated traffic."""
    rng = np.random.default_rng(seed)
    drawn = draw(clean, kinds, calibration, window=WINDOW, each=EACH, rng=rng)
    return fit(drawn, window=WINDOW, seed=seed)


def _seen(family: str, x: NDArray[np.float32], y: NDArray[np.int64], pair: Asked) -> Traffic:
    view, calibration = look(pair.primary, pair.twin, x), pair.calibration
    panel = calibration.panel
    if panel is None:
        score = TwinDivergence().score(view.primary, view.twin)
        hedge = None
    else:
        readings = panel.readings(view)
        score, hedges = panel.score(readings), calibration.p_hedges(readings)
        hedge = hedges[:, 0] if hedges.shape[1] else None
    p, p_benign = calibration.p_values(score)
    named = view.primary.argmax(1)
    top = np.exp(view.primary - view.primary.max(1, keepdims=True))
    flat = x if x.ndim in {2, 4} else x.reshape(len(x), -1)
    window = Window(
        agrees=named == view.twin.argmax(1),
        confidence=(top.max(1) / top.sum(1)).astype(np.float64),
        score=score,
        p=p,
        p_benign=p_benign,
        p_twin=p_benign if hedge is None else hedge,
        features=features(flat).astype(np.float64),
    )
    return Traffic(family=family, window=window, right=named == y)
