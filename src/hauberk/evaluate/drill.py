"""Drills: attacks simulated on one's own model, for sensors to learn from before any is real."""

from __future__ import annotations

from dataclasses import replace
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


def drills(
    model: Model, data: Dataset, threat: ThreatModel, *, seed: int, most: int = MOST
) -> dict[str, NDArray[np.float32]]:
    """Attacked copies ``(n, ...)`` of at most ``most`` samples, for each kind of attack.

    Only the inputs that fool the model are kept, since those that do not are harmless and would
    teach a sensor noise; where fewer than 8 do, all are. For norms other than ``linf`` and ``l2``
    there are no drills.
    """
    if threat.norm not in {"linf", "l2"}:
        return {}
    rows = np.arange(min(most, len(data)))
    batch = Batch(torch.from_numpy(data.x[rows]), torch.from_numpy(data.y[rows]), rows)
    found = {}
    for name, (attack, task, share) in KINDS.items():
        part = replace(threat, eps=threat.eps * share)
        rng = np.random.default_rng(seed)
        points = attack(model, batch, part, task=task, rng=rng)
        with torch.no_grad():
            fooled = (model(points).argmax(1) != batch.y).numpy()
        kept = points.numpy()[fooled] if fooled.sum() >= 8 else points.numpy()
        found[name] = np.ascontiguousarray(kept, dtype=np.float32)
    return found
