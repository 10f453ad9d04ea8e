"""PGD in l0: steps along the gradient, and only the values that gain most are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import require_norm
from hauberk.attack.narrow import per_sample
from hauberk.attack.search import Search
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class PGDL0:
    """``steps`` steps from each of ``restarts`` random starts; at most ``eps`` values change.

    A step moves the values by ``stride`` of the bounds' range on average, the steep ones further;
    then those stay changed that lie furthest from the sample within the bounds. A start moves
    every value by up to ``stride``. ``fast`` works on a bfloat16 copy. Croce and Hein (2019),
    "Sparse and imperceivable adversarial attacks", section 3.2.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 50
    restarts: int = 2
    stride: float = 0.15
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise UserError("pgd-l0 needs at least one step and one start")
        if not 0 < self.stride < float("inf"):
            raise UserError(f"pgd-l0's stride must be above 0, not {self.stride}")

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
        require_norm(threat.norm, "l0")
        bounds = model.bounds
        stride = self.stride * (bounds.high - bounds.low)
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if not search.done():
                search.ask(search.x)
            for restart in range(self.restarts):
                if search.done():
                    break
                draws = search.uniform(restart, search.x[:1].numel()).view_as(search.x)
                points = _kept(search, search.x + stride * (2 * draws.to(search.x) - 1))
                for _ in range(self.steps):
                    slope = search.climb(points, task.loss)
                    if search.done():
                        break
                    mean = slope.gradient.abs().flatten(1).mean(1).clamp_min(1e-30)
                    step = stride / per_sample(mean, slope.gradient) * slope.gradient
                    points = _kept(search, points[slope.keep] + step)
                else:
                    search.ask(points)
            return search.result()


def _kept(search: Search, points: Tensor) -> Tensor:
    """The nearest points that change ``eps`` values at most and lie within the bounds."""
    bounds = search.ball.bounds
    inside = points.clamp(bounds.low, bounds.high)
    # What a value is worth: how much further off the point would be without it.
    gain = (points - search.x).square() - (points - inside).square()
    rank = gain.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1)
    kept = (rank < int(search.ball.eps)).view_as(points)
    return torch.where(kept, inside, search.x)
