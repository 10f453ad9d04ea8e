"""The weight of being wrong against being near, found for each sample by bisection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch

from hauberk.attack.narrow import Memory

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Weights(Memory):
    """Between what was too little and what was enough; ``hit`` says that a run succeeded."""

    weight: Tensor
    low: Tensor
    high: Tensor
    hit: Tensor

    @classmethod
    def like(cls, x: Tensor, first: float) -> Self:
        """The same first weight for each sample of ``x`` ``(standing, ...)``."""
        many = len(x)
        return cls(
            weight=x.new_full((many,), first),
            low=x.new_zeros(many),
            high=x.new_full((many,), float("inf")),
            hit=torch.zeros(many, dtype=torch.bool, device=x.device),
        )

    def bisect(self) -> None:
        """Less weight where the run succeeded, ten times more where none ever did."""
        self.high = torch.where(self.hit, torch.minimum(self.high, self.weight), self.high)
        self.low = torch.where(self.hit, self.low, torch.maximum(self.low, self.weight))
        between = (self.low + self.high) / 2
        self.weight = torch.where(self.high.isfinite(), between, self.weight * 10)
