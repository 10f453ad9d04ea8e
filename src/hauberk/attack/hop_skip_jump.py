"""HopSkipJump: where the border faces, from labels alone; a jump that way, and back to it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, prod, sqrt
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import require_norm, size, steepest
from hauberk.attack.border import Approach, begin, spare
from hauberk.attack.narrow import per_sample
from hauberk.attack.nearest import Nearest
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

_FIRST_REACH = 0.1
_TRIES, _JUMPS = 32, 5
_DRAWS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class HopSkipJump:
    """At most ``queries`` points a sample; ``l2`` and ``linf``; labels suffice.

    From a wrong point at the border, ``looks`` times the root of the step's number points around
    it (``most`` at most) say where the border faces; a jump that way, halved until it stays
    wrong, is drawn back to the border. The threat's own ``queries`` bounds it further. ``nearest``
    goes on to shrink what has fallen. Chen, Jordan and Wainwright (2020), algorithm 2.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.LABELS

    queries: int = 2500
    looks: int = 100
    most: int = 10_000
    nearest: bool = False

    def __post_init__(self) -> None:
        if min(self.queries, self.looks, self.most) < 1 or self.most >= _DRAWS // 2:
            raise UserError(f"hop-skip-jump needs a query, and 1 to {_DRAWS // 2 - 1} looks")

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
        require_norm(threat.norm, "l2", "linf")
        total = min(self.queries, threat.queries or self.queries)
        values = prod(batch.x.shape[1:])
        fine = 1 / (values * sqrt(values)) if threat.norm == "l2" else 1 / values**2
        turns = ceil(log2(1 / fine)) + _JUMPS
        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            if not search.done():
                search.ask(search.x)
            points = begin(search, task, turns=max(turns, _TRIES), queries=total)
            turn = 0
            while not search.done() and spare(search, total) >= 1:
                turn += 1
                points, way = self._look(search, task, points, turn, fine, total)
                if search.done() or spare(search, total) < 1:
                    break
                away = size(points - search.x, search.norm) / sqrt(turn)
                jump = Approach.along(points, way, away)
                number = turn * _DRAWS + self.most
                points = jump.come(search, task, turns=turns, queries=total, draw=number)
            return search.result()

    def _look(
        self, search: Nearest, task: Task, points: Tensor, turn: int, fine: float, total: int
    ) -> tuple[Tensor, Tensor]:
        """The points that stand, and the direction of norm 1 in which the model is more wrong."""
        bounds = search.ball.bounds
        values = search.x[0].numel()
        away = size(points - search.x, search.norm)
        scale = sqrt(values) if search.norm == "l2" else float(values)
        reach = scale * fine * away
        if turn == 1:
            reach = torch.full_like(away, _FIRST_REACH * (bounds.high - bounds.low))
        # A point that has no distance yet looks around itself all the same.
        reach = reach.clamp_min(1e-6 * (bounds.high - bounds.low))
        looks = min(int(self.looks * sqrt(turn)), self.most)
        seen = [torch.zeros_like(points) for _ in range(2)]
        signs = points.new_zeros(len(points))
        asked = 0
        for look in range(looks):
            if search.done() or spare(search, total) < 1:
                break
            draws = search.uniform(turn * _DRAWS + look, values).to(points)
            if search.norm == "l2":
                draws = torch.special.ndtri(draws.clamp(1e-7, 1 - 1e-7))
            else:
                draws = 2 * draws - 1
            unit = steepest(draws.view_as(points), "l2")
            near = search.within(points + per_sample(reach, points) * unit)
            answer = search.ask(near)
            sign = torch.where(task.correct(answer.out, search.y), -1.0, 1.0).to(points)
            moved = (near - points) / per_sample(reach, points)
            keep = answer.keep
            points, reach, signs, moved = points[keep], reach[keep], signs[keep], moved[keep]
            seen = [held[keep] for held in seen]
            asked, signs = asked + 1, signs + sign
            seen = [seen[0] + per_sample(sign, moved) * moved, seen[1] + moved]
        # Less the mean, unless all said the same.
        mean = signs / max(asked, 1)
        mean = torch.where(mean.abs() >= 1, 0.0, mean)
        way = seen[0] - per_sample(mean, points) * seen[1]
        return points, steepest(way, search.norm)
