"""The weight of being wrong against being near, found for each sample by bisection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch

from hauberk.attack.ball import require_norm
from hauberk.attack.narrow import Memory
from hauberk.attack.nearest import Nearest
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import Norm, ThreatModel


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


@dataclass(frozen=True, kw_only=True)
class Weighed(ABC):
    """A descent on distance plus weight times margin, once for each of ``searches`` weights.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.GRADIENTS
    name: ClassVar[str]
    norms: ClassVar[tuple[Norm, ...]]

    searches: int = 5
    steps: int = 100
    rate: float = 0.01
    weight: float = 1.0
    confidence: float = 0.0
    nearest: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if self.searches < 1 or self.steps < 1:
            raise UserError(f"{self.name} needs at least one search and one step")
        if not (self.rate > 0 and self.weight > 0 and 0 <= self.confidence < float("inf")):
            raise UserError(f"{self.name}'s rate and weight must be above 0, confidence finite")

    def __call__(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Tensor:
        """See :class:`hauberk.attack.attack.Attack`."""
        require_norm(threat.norm, *self.norms)
        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            if not search.done():
                search.ask(search.x)
            held = Weights.like(search.x, self.weight)
            for _ in range(self.searches):
                if search.done():
                    break
                held.hit = torch.zeros_like(held.hit)
                self._descend(search, task, held)
                held.bisect()
            return search.result()

    @abstractmethod
    def _descend(self, search: Nearest, task: Task, held: Weights) -> None:
        """One run from the samples; ``held.hit`` says for which it succeeded."""
