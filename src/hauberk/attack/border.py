"""What attacks by labels share: a wrong point, and the way from it back to the border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hauberk.attack.ball import size
from hauberk.attack.narrow import Memory, per_sample

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.attack.nearest import Nearest
    from hauberk.core.task import Task


@dataclass
class Approach(Memory):
    """How each sample comes to the border: first to a wrong point, then back by halves.

    ``origin`` is where a sample stays until a wrong point is found; ``way`` and ``length`` say
    where to look for it, a half as far each time, and a ``length`` of 0 looks among images of
    noise. ``points`` are wrong where ``found``; the border lies between the shares ``short`` and
    ``far`` of their way from the sample.
    """

    origin: Tensor
    way: Tensor
    length: Tensor
    points: Tensor
    found: Tensor
    short: Tensor
    far: Tensor

    @classmethod
    def along(cls, origin: Tensor, way: Tensor, length: Tensor) -> Approach:
        """From ``origin`` ``(standing, ...)`` along ``way``, at first by ``length``."""
        return cls(
            origin=origin,
            way=way,
            length=length,
            points=origin.clone(),
            found=torch.zeros(len(origin), dtype=torch.bool, device=origin.device),
            short=torch.zeros_like(length),
            far=torch.ones_like(length),
        )

    def come(self, search: Nearest, task: Task, *, turns: int, queries: int, draw: int) -> Tensor:
        """The points at the border after so many ``turns``; the origin where none was wrong.

        Every sample takes all turns, so that none depends on those beside it. ``draw`` numbers the
        first draw of noise.
        """
        for turn in range(turns):
            if search.done() or spare(search, queries) < 1:
                break
            middle = (self.short + self.far) / 2
            tried = torch.where(
                per_sample(self.found, self.points),
                drawn(search, self.points, middle),
                self._outward(search, draw + turn),
            )
            answer = search.ask(tried)
            self.narrow(answer.keep)
            tried, middle = tried[answer.keep], middle[answer.keep]
            wrong = ~task.correct(answer.out, search.y)
            self.far = torch.where(self.found & wrong, middle, self.far)
            self.short = torch.where(self.found & ~wrong, middle, self.short)
            fresh = wrong & ~self.found
            self.points = torch.where(per_sample(fresh, tried), tried, self.points)
            self.length = torch.where(self.found | wrong, self.length, self.length / 2)
            self.found = self.found | wrong
        return torch.where(
            per_sample(self.found, self.points), drawn(search, self.points, self.far), self.origin
        )

    def _outward(self, search: Nearest, draw: int) -> Tensor:
        ahead = search.within(self.origin + per_sample(self.length, self.way) * self.way)
        if bool((self.length > 0).all()):
            return ahead
        low, high = search.ball.bounds.low, search.ball.bounds.high
        noise = search.uniform(draw, search.x[0].numel()).view_as(search.x).to(search.x)
        lost = per_sample(self.length == 0, ahead)
        return torch.where(lost, low + (high - low) * noise, ahead)


def spare(search: Nearest, queries: int) -> float:
    """How many queries a sample has left of an attack's own and of the threat's."""
    return min(queries - search.spent, search.left)


def begin(search: Nearest, task: Task, *, turns: int, queries: int) -> Tensor:
    """Points at the border, found among images of noise; the sample itself where none was wrong."""
    zero = search.x.new_zeros(len(search.x))
    start = Approach.along(search.x, torch.zeros_like(search.x), zero)
    return start.come(search, task, turns=turns, queries=queries, draw=0)


def drawn(search: Nearest, points: Tensor, share: Tensor) -> Tensor:
    """Points at that share of their way from the sample.

    Along the straight line; in ``linf`` by a box around the sample that closes in.
    """
    delta = points - search.x
    if search.norm != "linf":
        return search.x + per_sample(share, delta) * delta
    limit = per_sample(share * size(delta, "linf"), delta)
    return search.x + torch.minimum(torch.maximum(delta, -limit), limit)
