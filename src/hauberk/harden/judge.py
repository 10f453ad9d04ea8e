"""How hardened models are compared while they are made: by more steps than they trained against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hauberk.harden.perturb import Perturb
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from hauberk.core.data import Dataset
    from hauberk.core.threat import ThreatModel


def judge(
    validation: Dataset, threat: ThreatModel, *, steps: int = 20, most: int = 500
) -> Callable[[nn.Module], Score]:
    """A measure of clean accuracy, and of accuracy under a PGD of ``steps`` steps.

    At most ``most`` samples, evenly spread, are attacked, with the same noise each time.
    """
    count = len(validation)
    rows = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    some = validation.take(rows)
    attack = Perturb(
        threat=threat,
        bounds=validation.bounds,
        steps=steps,
        step_size=2.5 * threat.eps / steps,
        precision="auto",
    )

    def measure(module: nn.Module) -> Score:
        noise = torch.Generator().manual_seed(1)
        robust = accuracy(module, some, attack=lambda m, x, y: attack(m, x, y, noise))
        return Score(clean=accuracy(module, validation), robust=robust)

    return measure
