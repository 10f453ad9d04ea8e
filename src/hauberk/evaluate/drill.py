"""Drills: attacks simulated on one's own model, for sensors to learn from before any is real."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.task import Classification

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.threat import ThreatModel

ATTEMPTS = ("fgsm", "pgd", "pgd, half")
_FEW = 8
MOST = 256
"""The most samples that are attacked for one drill."""


class Pressing(Classification):
    """As classification, but nothing counts as fallen: an attack goes on to its last step."""

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """True for each, ``(batch,)``."""
        return torch.ones(len(y), dtype=torch.bool, device=out.device)


_PRESSING, _STOPPING = Pressing(), Classification()

KINDS: Mapping[str, tuple[Attack, Classification, float]] = {
    "fgsm": (FGSM(), _PRESSING, 1.0),
    "fgsm, half": (FGSM(), _PRESSING, 0.5),
    "pgd": (PGD(steps=10), _PRESSING, 1.0),
    "pgd, half": (PGD(steps=10), _PRESSING, 0.5),
    "pgd that stops": (PGD(steps=20), _STOPPING, 1.0),
    "pgd that stops, small steps": (PGD(steps=20, random_start=False), _STOPPING, 0.5),
}
"""Name → attack, whether it stops at success, and the share of the threat's eps."""


@dataclass(frozen=True)
class Drilled:
    """Inputs ``(n, ...)`` by kind of attack: those that fool the model, and those that do not."""

    hostile: Mapping[str, NDArray[np.float32]]
    harmless: Mapping[str, NDArray[np.float32]]


def drills(
    model: Model, data: Dataset, threat: ThreatModel, *, seed: int, most: int = MOST
) -> Drilled:
    """Attacked copies of at most ``most`` samples, for each kind of attack.

    What does not fool the model is harmless, and sensors must learn to leave it alone: else a
    hardened model would raise the alarm for as long as somebody tries. A kind of fewer than 8
    inputs is left out. For norms other than ``linf`` and ``l2`` there are no drills.
    """
    hostile: dict[str, NDArray[np.float32]] = {}
    harmless: dict[str, NDArray[np.float32]] = {}
    some = data.take(np.arange(min(most, len(data))))
    for name in KINDS if threat.norm in {"linf", "l2"} else ():
        points, fooled = _tried(model, some, threat, name, seed)
        for kept, part in ((hostile, points[fooled]), (harmless, points[~fooled])):
            if len(part) >= _FEW:
                kept[name] = part
    return Drilled(hostile, harmless)


def attempts(
    model: Model, data: Dataset, threat: ThreatModel, *, seed: int
) -> dict[str, NDArray[np.float32]]:
    """The samples of ``data`` under attacks that fail, ``(n, ...)`` each: a benign family.

    A sample whose attacked copy fools the model is left untouched.
    """
    found = {}
    for name in ATTEMPTS if threat.norm in {"linf", "l2"} else ():
        points, fooled = _tried(model, data, threat, name, seed)
        points[fooled] = data.x[fooled]
        found[f"failed {name}"] = points
    return found


def _tried(
    model: Model, data: Dataset, threat: ThreatModel, name: str, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Attacked copies of all samples, and which of them fool the model."""
    attack, task, share = KINDS[name]
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    near, rng = replace(threat, eps=threat.eps * share), np.random.default_rng(seed)
    points = attack(model, Batch(x, y, np.arange(len(data))), near, task=task, rng=rng)
    with torch.no_grad():
        fooled: NDArray[np.bool_] = (model(points).argmax(1) != y).numpy()
    return np.ascontiguousarray(points.numpy(), dtype=np.float32), fooled
