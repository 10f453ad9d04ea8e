"""Elastic-net attack: few values, each changed little, by shrinking thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import require_norm
from hauberk.attack.narrow import per_sample
from hauberk.attack.nearest import Nearest
from hauberk.attack.weights import Weights
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
class ElasticNet:
    """Squared ``l2`` plus ``sparsity`` times ``l1`` plus weight times margin; ``l1`` and ``l2``.

    ``searches`` weights by bisection, the first being ``weight``, each for ``steps`` steps of a
    ``rate`` that falls with the root of what is left, with momentum and soft thresholds.
    ``confidence`` is the margin that the adversarial side must lead by. The norm of the threat
    says which of the points found is the nearest. ``nearest`` goes on to shrink what has fallen;
    ``fast`` works on a bfloat16 copy. Chen et al. (2018), algorithm 1.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    searches: int = 5
    steps: int = 100
    rate: float = 0.01
    weight: float = 1.0
    sparsity: float = 0.01
    confidence: float = 0.0
    nearest: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if self.searches < 1 or self.steps < 1:
            raise UserError("elastic-net needs at least one search and one step")
        if not (self.rate > 0 and self.weight > 0 and 0 <= self.confidence < float("inf")):
            raise UserError("elastic-net's rate and weight must be above 0, confidence finite")
        if not 0 <= self.sparsity < float("inf"):
            raise UserError(f"elastic-net's sparsity must be 0 or more, not {self.sparsity}")

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
        require_norm(threat.norm, "l1", "l2")
        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            if not search.done():
                search.ask(search.x)
            held = Weights.like(search.x, self.weight)
            for _ in range(self.searches):
                if search.done():
                    break
                self._descend(search, task, held)
                held.bisect()
            return search.result()

    def _descend(self, search: Nearest, task: Task, held: Weights) -> None:
        """One run of iterative shrinkage with momentum."""
        points = ahead = search.x
        held.hit = torch.zeros_like(held.hit)
        for step in range(self.steps):
            if search.done():
                return
            slope = search.climb(search.within(ahead), task.margin)
            points, ahead = points[slope.keep], ahead[slope.keep]
            held.narrow(slope.keep)
            margin = task.margin(slope.out, search.y)
            push = held.weight * (margin > -self.confidence)
            downhill = 2 * (ahead - search.x) + per_sample(push, points) * slope.gradient
            rate = self.rate * sqrt(1 - step / self.steps)
            last, points = points, self._shrunk(search, ahead - rate * downhill)
            if search.done():
                return
            answer = search.ask(points)
            held.narrow(answer.keep)
            points, last = points[answer.keep], last[answer.keep]
            held.hit = held.hit | (task.margin(answer.out, search.y) <= -self.confidence)
            ahead = points + step / (step + 3) * (points - last)

    def _shrunk(self, search: Nearest, points: Tensor) -> Tensor:
        """Each change made smaller by the threshold, 0 where it is less; within the bounds."""
        delta = points - search.x
        shrunk = (delta.abs() - self.sparsity).clamp_min(0.0)
        return search.within(search.x + torch.copysign(shrunk, delta))
