"""Carlini and Wagner: the least perturbation as an optimisation, weighed against the margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.narrow import Memory, per_sample
from hauberk.attack.weights import Weighed

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.attack.nearest import Nearest
    from hauberk.attack.weights import Weights
    from hauberk.core.task import Task
    from hauberk.core.threat import Norm

_INSIDE = 0.999999
_DECAY, _DECAY2, _TINY = 0.9, 0.999, 1e-8
_SHRINK = 0.9


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(Weighed):
    """Adam on distance plus weight times margin, the weight by bisection; ``l2`` and ``linf``.

    ``searches`` weights are tried for ``steps`` steps of ``rate`` each; the first is ``weight``.
    ``confidence`` is the margin, in logits, that the adversarial class must lead by. In ``linf``
    what exceeds a bar is penalised, and the bar sinks to nine tenths of the best radius.
    ``nearest`` goes on to shrink what has fallen; ``fast`` works on a bfloat16 copy. Carlini and
    Wagner (2017), sections VI-A and VI-C, objective f6.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "carlini-wagner"
    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")

    rate: float = 0.02

    def _descend(self, search: Nearest, task: Task, held: Weights) -> None:
        """One run of Adam in the space where the bounds are at infinity."""
        low, high = search.ball.bounds.low, search.ball.bounds.high
        middle, half = (high + low) / 2, (high - low) / 2
        run = _Run(
            free=torch.atanh(((search.x - middle) / half) * _INSIDE),
            mean=torch.zeros_like(search.x),
            square=torch.zeros_like(search.x),
        )
        for step in range(1, self.steps + 1):
            if search.done():
                return
            flat = torch.tanh(run.free)
            points = (middle + half * flat).clamp(low, high)
            slope = search.climb(points, task.margin)
            run.narrow(slope.keep)
            held.narrow(slope.keep)
            flat, points = torch.tanh(run.free), points[slope.keep]
            lag = task.margin(slope.out, search.y)
            held.hit = held.hit | (lag <= -self.confidence)
            pull = _pull(search, points - search.x)
            push = held.weight * (lag > -self.confidence)
            total = pull + per_sample(push, points) * slope.gradient
            run.adam(total * half * (1 - flat * flat), self.rate, step)


@dataclass
class _Run(Memory):
    """One descent: the unbounded variable and Adam's two averages."""

    free: Tensor
    mean: Tensor
    square: Tensor

    def adam(self, gradient: Tensor, rate: float, step: int) -> None:
        """One step of Adam (Kingma and Ba 2015)."""
        self.mean = _DECAY * self.mean + (1 - _DECAY) * gradient
        self.square = _DECAY2 * self.square + (1 - _DECAY2) * gradient * gradient
        mean = self.mean / (1 - _DECAY**step)
        square = self.square / (1 - _DECAY2**step)
        self.free = self.free - rate * mean / (square.sqrt() + _TINY)


def _pull(search: Nearest, delta: Tensor) -> Tensor:
    """The slope of the distance: of its square in ``l2``, of what exceeds the bar in ``linf``."""
    if search.norm == "l2":
        return 2 * delta
    bar = (_SHRINK * search.radius).clamp_max(search.ball.bounds.high - search.ball.bounds.low)
    return delta.sign() * (delta.abs() > per_sample(bar, delta))
