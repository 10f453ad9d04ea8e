"""Sparse random search: few values at their bounds, some exchanged at a time."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import require_norm
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

# Up to this ten-thousandth of the queries, the first share is divided by that much.
_SCHEDULE = (
    *((0, 1), (50, 2), (200, 4), (500, 5), (1000, 6)),
    *((2000, 8), (4000, 10), (6000, 12), (8000, 15)),
)
_LAST = 20


@dataclass(frozen=True, kw_only=True)
class SparseRS:
    """At most ``queries`` points a sample, the clean one included; ``l0``; scores suffice.

    ``eps`` values stand at one of their bounds; each query exchanges a share of them, at first
    ``share``, against others, and draws their bounds anew. What narrows the margin is kept. The
    threat's own ``queries`` bounds it further. ``fast`` works on a folded float32 copy. Croce et
    al. (2022), "Sparse-RS", algorithm 1 and section 4.1, on values instead of pixels.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.SCORES

    queries: int = 1000
    share: float = 0.3
    fast: bool = False

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise UserError(f"sparse-rs needs at least one query, not {self.queries}")
        if not 0 < self.share <= 1:
            raise UserError(f"sparse-rs's share must lie in (0, 1], not {self.share}")

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
        total = min(self.queries, threat.queries or self.queries)
        size = prod(batch.x.shape[1:])
        many = min(int(threat.eps), size)
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if not search.done():
                search.ask(search.x)
            if many == 0 or search.done() or search.spent >= total:
                return search.result()
            draws = search.uniform(0, 2 * size)
            chosen = _first(draws[:, :size], many)
            values = _ends(search, draws[:, size:])
            points = torch.where(chosen, values, search.x.flatten(1)).view_as(search.x)
            answer = search.ask(points)
            chosen, values = chosen[answer.keep], values[answer.keep]
            margin = task.margin(answer.out, search.y)
            while not search.done() and search.spent < total:
                draws = search.uniform(search.spent, 2 * size)
                swapped = min(self._exchanged(many, search.spent / total), size - many)
                tried = _exchange(chosen, draws[:, :size], swapped)
                # With every value chosen there is nothing to exchange: bounds alone are drawn.
                fresh = tried & ~chosen if swapped else _first(draws[:, :size], 1)
                now = torch.where(fresh, _ends(search, draws[:, size:]), values)
                points = torch.where(tried, now, search.x.flatten(1)).view_as(search.x)
                answer = search.ask(points)
                chosen, values, margin, tried, now = (
                    held[answer.keep] for held in (chosen, values, margin, tried, now)
                )
                narrower = task.margin(answer.out, search.y)
                better = narrower < margin
                chosen[better], values[better] = tried[better], now[better]
                margin[better] = narrower[better]
            return search.result()

    def _exchanged(self, many: int, progress: float) -> int:
        """How many values are exchanged when ``progress`` of the budget is spent."""
        place = int(progress * 10_000)
        part = next((part for until, part in _SCHEDULE if place <= until), _LAST)
        return max(1, int(self.share / part * many))


def _first(draws: Tensor, many: int) -> Tensor:
    """Mark the ``many`` lowest draws of each row, ``(standing, size)`` bool."""
    rank: Tensor = draws.argsort(dim=1, stable=True).argsort(1)
    return rank < many


def _exchange(chosen: Tensor, draws: Tensor, many: int) -> Tensor:
    """Chosen values with ``many`` of them given up and as many others taken."""
    if many == 0:
        return chosen
    out = _first(torch.where(chosen, draws, 2.0), many)
    into = _first(torch.where(chosen, 2.0, draws), many)
    return (chosen & ~out) | into


def _ends(search: Search, draws: Tensor) -> Tensor:
    """One of the two bounds for each value, never the one at which the sample stands."""
    low, high = search.ball.bounds.low, search.ball.bounds.high
    x = search.x.flatten(1)
    drawn = (draws < 0.5).to(x) * (low - high) + high
    return torch.where(drawn == x, low + high - x, drawn)
