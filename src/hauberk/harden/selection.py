"""Accuracy on the validation data, and which epoch's weights are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Score:
    """Accuracies in [0, 1] on the validation data; ``robust`` is None where no one attacked."""

    clean: float
    robust: float | None = None

    def beats(self, other: Score, floor: float) -> bool:
        """Whether to prefer this later epoch.

        First clean accuracy must reach ``floor``; then robust accuracy decides, and clean accuracy
        breaks a tie. Below the floor clean accuracy alone counts. Equal scores go to the later.
        """
        return self.rank(floor) >= other.rank(floor)

    def rank(self, floor: float) -> tuple[bool, float, float]:
        """What scores are ordered by."""
        holds = self.clean >= floor
        robust = self.robust if holds and self.robust is not None else 0.0
        return holds, robust, self.clean


def accuracy(
    module: nn.Module,
    data: Dataset,
    *,
    attack: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
    size: int = 512,
) -> float:
    """Share of samples that are right, after ``attack`` if there is one; in float32."""
    right = 0
    for x, y in data.batches(size):
        inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
        if attack is not None:
            inputs = attack(module, inputs, labels)
        with torch.no_grad():
            right += int((module(inputs).argmax(1) == labels).sum())
    return right / len(data)
