"""Auto-PGD in l1: steps along few values, as many as the best point has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch

from hauberk.attack.ball import Ball, require_norm
from hauberk.attack.margins import dlr
from hauberk.attack.narrow import Memory, per_sample
from hauberk.attack.nearest import Nearest
from hauberk.attack.slide import steepest_few
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

Loss = Literal["ce", "dlr"]
# Part of the steps, and the radius as a multiple of eps, of each stage.
_STAGES = ((0.3, 3.0), (0.3, 2.0), (0.4, 1.0))
_FIRST, _PERIOD, _FEWER, _DENSE, _SHORTER, _SHORTEST = 0.2, 0.04, 0.95, 1.5, 1.5, 10.0


@dataclass(frozen=True, kw_only=True)
class APGDL1:
    """``steps`` steps from each of ``restarts`` starts in ``l1``; no step size.

    The number of values that a step moves follows that of the best point, and the step is
    shortened where that number stands still; a radius of three and of two times ``eps`` prepares
    the last stage. ``loss``: ``ce`` climbs the task's own, ``dlr`` the difference of logits ratio.
    ``fast`` works on a bfloat16 copy. Croce and Hein (2021), "Mind the box", algorithm 1.

    Raises:
        UserError: if a number is out of range or the loss is unknown.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    loss: Loss = "ce"
    steps: int = 100
    restarts: int = 1
    fast: bool = False

    def __post_init__(self) -> None:
        if self.loss not in get_args(Loss):
            raise UserError(f"unknown loss {self.loss!r}", hint="ce or dlr")
        if min(self.steps, self.restarts) < 1:
            raise UserError("apgd-l1 needs at least one step and one start")

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
        require_norm(threat.norm, "l1")
        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            if not search.done():
                search.ask(search.x)
            for restart in range(self.restarts):
                if search.done():
                    break
                points = search.start(restart)
                for part, factor in _STAGES:
                    if search.done():
                        break
                    steps = max(1, round(part * self.steps))
                    ball = Ball("l1", factor * threat.eps, model.bounds)
                    points = self._climb(search, task, ball, points, steps)
            return search.result()

    def _climb(self, search: Nearest, task: Task, ball: Ball, points: Tensor, steps: int) -> Tensor:
        """One stage within ``ball``; the best points of those that stand."""
        objective = task.loss if self.loss == "ce" else dlr
        points = ball.project(points, search.x)
        values = float(points[0].numel())
        low = points.new_full((len(points),), float("-inf"))
        held = _Stage(
            points=points,
            best=points.clone(),
            gradient=torch.zeros_like(points),
            top=low,
            step=torch.full_like(low, ball.eps),
            many=torch.full_like(low, _FIRST * values),
            before=torch.full_like(low, values),
        )
        period = max(1, int(_PERIOD * steps))
        for step in range(steps):
            slope = search.climb(held.points, objective)
            held.narrow(slope.keep)
            if search.done():
                return held.best
            value = objective(slope.out, search.y)
            held.replace(value > held.top, best=held.points, gradient=slope.gradient, top=value)
            way = slope.gradient
            if step and step % period == 0:
                way = held.checkpoint(search.x, ball.eps, way)
            moved = per_sample(held.step, way) * steepest_few(way, held.many)
            held.points = ball.project(held.points + moved, search.x)
        answer = search.ask(held.points)
        held.narrow(answer.keep)
        value = objective(answer.out, search.y)
        held.replace(value > held.top, best=held.points, top=value)
        return held.best


@dataclass
class _Stage(Memory):
    """Where each sample is and did best, how far it steps and along how many values."""

    points: Tensor
    best: Tensor
    gradient: Tensor
    top: Tensor
    step: Tensor
    many: Tensor
    before: Tensor

    def checkpoint(self, x: Tensor, eps: float, way: Tensor) -> Tensor:
        """Fewer values and a full step where the best point has become sparser; the way then."""
        now = (self.best != x).flatten(1).sum(1).to(self.many)
        fewer = now < _FEWER * self.before
        shorter = (self.step / _SHORTER).clamp_min(eps / _SHORTEST)
        self.step = torch.where(fewer, torch.full_like(self.step, eps), shorter)
        self.many, self.before = (now / _DENSE).clamp_min(1.0), now
        self.points = torch.where(per_sample(fewer, self.points), self.best, self.points)
        return torch.where(per_sample(fewer, way), self.gradient, way)
