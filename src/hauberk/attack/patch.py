"""An adversarial patch of its own for each image, where it does most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn.functional import avg_pool2d

from hauberk.attack.ball import patch_side, require_norm
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


@dataclass(frozen=True, kw_only=True)
class Patch:
    """``steps`` steps inside one square, at each of ``places`` places in turn; norm ``patch``.

    Inside the square any value within the bounds goes; ``eps`` is the share of the image that it
    covers. The first place is where the linearised loss could climb most, the others are drawn.
    Steps are ``stride`` of the bounds' range. Brown et al. (2017) for the threat; one patch for
    all images is :class:`hauberk.attack.physical_patch.PhysicalPatch`. ``fast`` works on a
    bfloat16 copy.

    Raises:
        UserError: if a number is out of range, or the inputs are not images.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 40
    places: int = 3
    stride: float = 0.1
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.places < 1:
            raise UserError("patch needs at least one step and one place")
        if not 0 < self.stride <= 1:
            raise UserError(f"patch's stride must lie in (0, 1], not {self.stride}")

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
        require_norm(threat.norm, "patch")
        side = patch_side(threat.eps, batch.x.shape)
        stride = self.stride * (model.bounds.high - model.bounds.low)
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if search.done():
                return search.result()
            slope = search.climb(search.x, task.loss)
            gain = slope.gradient
            for place in range(self.places):
                if search.done() or side == 0:
                    break
                first = place == 0
                spot = _best(search, gain, side) if first else _drawn(search, place, side)
                inside = _window(*spot, side, search.x)
                points = torch.where(inside, _extreme(search, gain), search.x)
                for _ in range(self.steps):
                    slope = search.climb(points, task.loss)
                    gain, inside = gain[slope.keep], inside[slope.keep]
                    if search.done():
                        break
                    moved = points[slope.keep] + stride * slope.gradient.sign() * inside
                    points = moved.clamp(model.bounds.low, model.bounds.high)
                else:
                    answer = search.ask(points)
                    gain = gain[answer.keep]
            return search.result()


def _extreme(search: Search, gain: Tensor) -> Tensor:
    """Each value at the bound towards which the loss climbs."""
    bounds = search.ball.bounds
    return torch.where(gain > 0, bounds.high, bounds.low).to(search.x)


def _best(search: Search, gain: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Top and left ``(standing,)`` of the square in which the linearised loss can climb most."""
    climbs = (gain * (_extreme(search, gain) - search.x)).flatten(1, -3).sum(1, keepdim=True)
    sums = avg_pool2d(climbs, side, stride=1)
    place = sums.flatten(1).argmax(1)
    return place // sums.shape[-1], place % sums.shape[-1]


def _drawn(search: Search, number: int, side: int) -> tuple[Tensor, Tensor]:
    height, width = search.x.shape[-2:]
    draws = search.uniform(number, 2)
    top = (draws[:, 0] * (height - side + 1)).long()
    return top, (draws[:, 1] * (width - side + 1)).long()


def _window(top: Tensor, left: Tensor, side: int, like: Tensor) -> Tensor:
    """Whether each value of images ``like`` lies in its square, ``(standing, ..., h, w)`` bool."""
    rows = torch.arange(like.shape[-2], device=like.device)
    columns = torch.arange(like.shape[-1], device=like.device)
    tall = (rows >= top[:, None]) & (rows < top[:, None] + side)
    wide = (columns >= left[:, None]) & (columns < left[:, None] + side)
    square = tall[:, :, None] & wide[:, None, :]
    return square.view(len(like), *[1] * (like.ndim - 3), *like.shape[-2:]).expand(like.shape)
