"""Gradients guessed from scores: finite differences along random directions."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch

from hauberk.attack.ball import require_norm, steepest
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

Draw = Literal["normal", "signs"]


@dataclass(frozen=True, kw_only=True)
class NES:
    """At most ``queries`` points a sample; ``linf`` and ``l2``; scores suffice.

    Each step asks ``pairs`` times on both sides of the point, ``reach`` times eps away along a
    random direction, and goes ``step`` times eps along the mean of what it saw, in which the steps
    before count too, each ``momentum`` times as much as the one after it. ``draw``: ``normal``
    directions are those of Ilyas et al. (2018), section 3.1; ``signs`` those of SPSA (Uesato et
    al. 2018, section 4.2). ``fast`` works on a folded float32 copy.

    Raises:
        UserError: if a number is out of range or the draw is unknown.
    """

    needs: ClassVar[Access] = Access.SCORES

    queries: int = 1000
    pairs: int = 10
    reach: float = 0.1
    step: float = 0.25
    momentum: float = 0.8
    draw: Draw = "normal"
    fast: bool = False

    def __post_init__(self) -> None:
        if self.draw not in get_args(Draw):
            raise UserError(f"unknown draw {self.draw!r}", hint="normal or signs")
        if self.queries < 1 or self.pairs < 1:
            raise UserError("nes needs at least one query and one pair")
        if not (0 < self.reach <= 1 and 0 < self.step <= 2 and 0 <= self.momentum < 1):
            raise UserError(
                "nes needs a reach in (0, 1], a step in (0, 2] and a momentum in [0, 1)"
            )

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
        require_norm(threat.norm, "linf", "l2")
        total = min(self.queries, threat.queries or self.queries)
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if not search.done():
                search.ask(search.x)
            points, turn = search.x, 0
            slope = torch.zeros_like(points)
            while not search.done() and total - search.spent >= 3:
                pairs = min(self.pairs, (total - search.spent - 1) // 2)
                slope = self.momentum * slope
                for _ in range(pairs):
                    points, slope = self._look(search, task, points, slope, turn)
                    turn += 1
                    if search.done():
                        return search.result()
                way = steepest(slope, threat.norm)
                points = search.project(points + self.step * threat.eps * way)
                keep = search.ask(points).keep
                points, slope = points[keep], slope[keep]
            return search.result()

    def _look(
        self, search: Search, task: Task, points: Tensor, slope: Tensor, turn: int
    ) -> tuple[Tensor, Tensor]:
        """Ask on both sides; the points and the slope so far of those that stand."""
        away = per_sample(self._length(search), points) * self._direction(search, turn)
        seen: list[Tensor] = []
        for side in (1.0, -1.0):
            answer = search.ask(search.project(points + side * away))
            points, slope, away = (held[answer.keep] for held in (points, slope, away))
            seen = [loss[answer.keep] for loss in seen]
            seen.append(-task.margin(answer.out, search.y))
            if search.done():
                return points, slope
        return points, slope + per_sample(seen[0] - seen[1], away) * away

    def _length(self, search: Search) -> Tensor:
        """How far to look: so that the radius in the threat's norm is ``reach`` times eps."""
        values = prod(search.x.shape[1:])
        scale = values**-0.5 if search.ball.norm == "l2" else 1.0
        return search.x.new_full((len(search.x),), self.reach * search.ball.eps * scale)

    def _direction(self, search: Search, turn: int) -> Tensor:
        uniform = search.uniform(turn, prod(search.x.shape[1:]))
        if self.draw == "signs":
            drawn = torch.where(uniform < 0.5, -1.0, 1.0)
        else:
            drawn = torch.special.ndtri(uniform.clamp(1e-7, 1 - 1e-7))
        return drawn.to(search.x).view_as(search.x)
