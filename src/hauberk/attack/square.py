"""The Square attack: random squares at the edge of the ball, kept where the margin shrinks."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
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

# Iterations, out of ten thousand, at which the share of changed pixels is halved.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


@dataclass(frozen=True, kw_only=True)
class Square:
    """At most ``queries`` points a sample, the clean one included; ``linf``; scores suffice.

    ``share`` is the part of the input that the first squares cover. The threat's own ``queries``
    bounds it further. Andriushchenko et al. (2020), section 3.2 and algorithm 2, margin loss; a
    square that would change nothing is turned over instead of drawn again. Rows of a table are
    taken as images one pixel high. ``fast`` works on a folded float32 copy.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.SCORES

    queries: int = 1000
    share: float = 0.8
    fast: bool = False

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise UserError(f"square needs at least one query, not {self.queries}")
        if not 0 < self.share <= 1:
            raise UserError(f"square's share must lie in (0, 1], not {self.share}")

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
        require_norm(threat.norm, "linf")
        total = min(self.queries, threat.queries or self.queries)
        channels, height, width = shape = as_image(tuple(batch.x.shape[1:]))
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if not search.done():
                search.ask(search.x)
            if search.done() or search.spent >= total:
                return search.result()
            stripes = signs_of(search.uniform(0, channels * width)).view(-1, channels, 1, width)
            stripes = stripes.expand(-1, -1, height, -1).reshape(search.x.shape)
            points = search.project(search.x + threat.eps * stripes.to(search.x))
            answer = search.ask(points)
            points, margin = points[answer.keep], task.margin(answer.out, search.y)
            while not search.done() and search.spent < total:
                draws = search.uniform(search.spent, channels + 2)
                part = area(self.share, (search.spent - 2) / total)
                signs = signs_of(draws[:, :channels])[:, :, None, None].to(points)
                tried = points.clone(memory_format=torch.contiguous_format)
                _paint(
                    search, tried.view(-1, *shape), _window(draws[:, channels:], shape, part), signs
                )
                answer = search.ask(tried)
                if len(answer.keep) < len(points):
                    points, tried, margin = (held[answer.keep] for held in (points, tried, margin))
                now = task.margin(answer.out, search.y)
                better = now < margin
                points[better], margin[better] = tried[better], now[better]
            return search.result()


def area(share: float, progress: float) -> float:
    """The share of the input that a square covers when ``progress`` of the budget is spent.

    ``share`` is that of the first squares; it is halved on the published schedule.
    """
    halved = sum(progress * 10_000 > at for at in _HALVINGS)
    return share / float(2**halved)


def as_image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of one sample; rows of a table are images one pixel high."""
    if len(shape) >= 3:
        return prod(shape[:-2]), shape[-2], shape[-1]
    return 1, prod(shape[:-1]), shape[-1] if shape else 1


def signs_of(uniform: Tensor) -> Tensor:
    """-1 or 1 for each draw in [0, 1)."""
    return torch.where(uniform < 0.5, -1.0, 1.0)


def _window(
    uniform: Tensor, shape: tuple[int, int, int], area: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The places of each sample's square: its sample, channel, row and column, to index by."""
    channels, height, width = shape
    side = max(1, round(sqrt(area * height * width)))
    tall = min(side, height)
    wide = min(max(1, round(area * height * width / tall)) if tall < side else side, width)
    top = (uniform[:, :1] * (height - tall + 1)).long()
    left = (uniform[:, 1:] * (width - wide + 1)).long()
    row = top + torch.arange(tall, device=uniform.device)
    column = left + torch.arange(wide, device=uniform.device)
    sample = torch.arange(len(uniform), device=uniform.device)[:, None, None, None]
    channel = torch.arange(channels, device=uniform.device)[None, :, None, None]
    return sample, channel, row[:, None, :, None], column[:, None, None, :]


def _paint(search: Search, images: Tensor, window: tuple[Tensor, ...], signs: Tensor) -> None:
    """Move each square of ``images`` to the edge of the ball, in place."""
    bounds, eps = search.ball.bounds, search.ball.eps
    centre = search.x.reshape(images.shape)[window]
    painted = (centre + eps * signs).clamp(bounds.low, bounds.high)
    same = (painted - images[window]).abs().flatten(1).amax(1) < 1e-7
    if bool(same.any()):
        over = (centre - eps * signs).clamp(bounds.low, bounds.high)
        painted = torch.where(same[:, None, None, None], over, painted)
    images[window] = painted
