"""The Square attack in l2: the change moves between windows, shaped as a hill and a valley."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import require_norm, size
from hauberk.attack.narrow import per_sample
from hauberk.attack.search import Search
from hauberk.attack.square import area, as_image, signs_of
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

_TILES = 5
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class SquareL2:
    """At most ``queries`` points a sample, the clean one included; ``l2``; scores suffice.

    ``share`` is the part of the input that the first windows cover. The threat's own ``queries``
    bounds it further. Rows of a table are taken as images one pixel high. ``fast`` works on a
    folded float32 copy. Andriushchenko et al. (2020), section 3.3 and algorithm 3, margin loss.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.SCORES

    queries: int = 1000
    share: float = 0.1
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
        require_norm(threat.norm, "l2")
        total = min(self.queries, threat.queries or self.queries)
        shape = as_image(tuple(batch.x.shape[1:]))
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if not search.done():
                search.ask(search.x)
            if search.done() or search.spent >= total:
                return search.result()
            points = _stretched(search, _tiles(search, shape))
            answer = search.ask(points)
            points, margin = points[answer.keep], task.margin(answer.out, search.y)
            while not search.done() and search.spent < total:
                part = area(self.share, (search.spent - 2) / total)
                tried = _stretched(search, _moved(search, points, shape, part))
                answer = search.ask(tried)
                points, tried, margin = (held[answer.keep] for held in (points, tried, margin))
                now = task.margin(answer.out, search.y)
                better = now < margin
                points[better], margin[better] = tried[better], now[better]
            return search.result()


def _stretched(search: Search, delta: Tensor) -> Tensor:
    """Points whose change has the length of the radius, before the bounds cut it."""
    length = size(delta, "l2").clamp_min(_TINY)
    return search.project(search.x + per_sample(search.ball.eps / length, delta) * delta)


def _tiles(search: Search, shape: tuple[int, int, int]) -> Tensor:
    """A grid of windows over the whole image, each channel of each with a sign of its own."""
    channels, height, width = shape
    tall, wide = max(1, height // _TILES), max(1, width // _TILES)
    down, across = height // tall, width // wide
    draws = search.uniform(0, 2 * channels * down * across)
    signs = signs_of(draws[:, : channels * down * across]).view(-1, channels, down, across)
    lying = draws[:, channels * down * across :].view(-1, channels, down, across)[:, :1] < 0.5
    hills = _hills(tall, wide).to(search.x)
    standing = _hills(wide, tall).to(search.x).T
    tiles = (
        torch.where(lying[..., None, None], hills, standing) * signs.to(search.x)[..., None, None]
    )
    whole = tiles.permute(0, 1, 2, 4, 3, 5).reshape(-1, channels, down * tall, across * wide)
    delta = search.x.new_zeros((len(whole), channels, height, width))
    top, left = (height - down * tall) // 2, (width - across * wide) // 2
    delta[:, :, top : top + down * tall, left : left + across * wide] = whole
    return delta.view_as(search.x)


def _moved(search: Search, points: Tensor, shape: tuple[int, int, int], part: float) -> Tensor:
    """The change with one window emptied and what it held put into another, onto two hills."""
    channels, height, width = shape
    side = max(3, round(sqrt(part * height * width))) | 1
    tall, wide = min(side, height), min(side, width)
    draws = search.uniform(search.spent, channels + 5).to(points)
    signs = signs_of(draws[:, :channels])[:, :, None, None]
    delta = (points - search.x).view(len(points), *shape).clone()
    spots = []
    for place in (channels, channels + 2):
        top = (draws[:, place] * (height - tall + 1)).long()
        left = (draws[:, place + 1] * (width - wide + 1)).long()
        rows = top[:, None] + torch.arange(tall, device=points.device)
        columns = left[:, None] + torch.arange(wide, device=points.device)
        spots.append((rows[:, None, :, None], columns[:, None, None, :]))
    sample = torch.arange(len(points), device=points.device)[:, None, None, None]
    channel = torch.arange(channels, device=points.device)[None, :, None, None]
    into, out = ((sample, channel, *spot) for spot in spots)
    whole = delta.square().flatten(1).sum(1)
    held = delta[into].clone()
    both = torch.zeros_like(delta, dtype=torch.bool)
    both[into], both[out] = True, True
    freed = (delta.square() * both).sum((2, 3), keepdim=True)
    lying = draws[:, channels + 4, None, None, None] < 0.5
    hills = torch.where(lying, _hills(tall, wide).to(points), _hills(wide, tall).to(points).T)
    held = held / held.square().sum((2, 3), keepdim=True).sqrt().clamp_min(_TINY)
    fresh = held + signs * hills
    fresh = fresh / fresh.square().sum((2, 3), keepdim=True).sqrt().clamp_min(_TINY)
    unused = (search.ball.eps**2 - whole).clamp_min(0.0) / channels
    delta[out] = 0.0
    delta[into] = fresh * (unused[:, None, None, None] + freed).sqrt()
    return delta.view_as(points)


def _hills(tall: int, wide: int) -> Tensor:
    """A hill above and a valley below, ``(tall, wide)``, of norm 1: equation 2 of the source."""
    upper = tall // 2
    whole = torch.cat([_hill(upper, wide), -_hill(tall - upper, wide)])
    scaled: Tensor = whole / whole.norm().clamp_min(_TINY)
    return scaled


def _hill(tall: int, wide: int) -> Tensor:
    """Rectangles about the middle, each one pixel larger on every side and lower."""
    hill = torch.zeros(tall, wide)
    middle = (tall // 2, wide // 2)
    for ring in range(max(middle) + 1):
        rows = slice(max(middle[0] - ring, 0), middle[0] + ring + 1)
        columns = slice(max(middle[1] - ring, 0), middle[1] + ring + 1)
        hill[rows, columns] += 1 / (ring + 1) ** 2
    scaled: Tensor = hill / hill.norm().clamp_min(_TINY)
    return scaled
