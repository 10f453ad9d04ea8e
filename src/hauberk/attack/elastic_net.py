"""Elastic-net attack: few values, each changed little, by shrinking thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.narrow import per_sample
from hauberk.attack.weights import Weighed
from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.attack.nearest import Nearest
    from hauberk.attack.weights import Weights
    from hauberk.core.task import Task
    from hauberk.core.threat import Norm


@dataclass(frozen=True, kw_only=True)
class ElasticNet(Weighed):
    """Squared ``l2`` plus ``sparsity`` times ``l1`` plus weight times margin; ``l1`` and ``l2``.

    ``searches`` weights by bisection, the first being ``weight``, each for ``steps`` steps of a
    ``rate`` that falls with the root of what is left, with momentum and soft thresholds.
    ``confidence`` is the margin that the adversarial side must lead by. The norm of the threat
    says which of the points found is the nearest. ``nearest`` goes on to shrink what has fallen;
    ``fast`` works on a bfloat16 copy. Chen et al. (2018), algorithm 1.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "elastic-net"
    norms: ClassVar[tuple[Norm, ...]] = ("l1", "l2")

    sparsity: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sparsity < float("inf"):
            raise UserError(f"elastic-net's sparsity must be 0 or more, not {self.sparsity}")

    def _descend(self, search: Nearest, task: Task, held: Weights) -> None:
        """One run of iterative shrinkage with momentum."""
        points = ahead = search.x
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
