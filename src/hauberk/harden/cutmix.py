"""CutMix: paste a rectangle of another image, and mix the labels by area (Yun et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment
    from hauberk.harden.recipe import Given
    from hauberk.harden.training import Objective


@dataclass(frozen=True, kw_only=True)
class CutMix:
    """Mix ``share`` of the batches; the rectangle's area is uniform in [0, 1).

    Rows of a table have no rectangles: there a random set of columns is taken over instead.

    Raises:
        UserError: if a number is out of range.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError("share must lie within (0, 1]")

    def join(self, objective: Objective, given: Given) -> Objective:
        def mix(_: nn.Module, x: Tensor, y: Tensor, now: Moment) -> tuple[Tensor, Tensor]:
            return self.mixed(x, y, given.train.classes, now.generator)

        return replace(objective, transforms=(*objective.transforms, mix))

    def mixed(
        self, x: Tensor, y: Tensor, classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs and targets ``(batch, classes)``, some of them mixed."""
        chance, area, across, down = torch.rand(4, generator=generator).tolist()
        targets = one_hot(y, classes).float() if y.dim() == 1 else y
        if chance >= self.share:
            return x, targets
        other = torch.randperm(len(x), generator=generator)
        if x.dim() == 4:
            top, bottom = _span(x.shape[2], sqrt(area), down)
            left, right = _span(x.shape[3], sqrt(area), across)
            mask = torch.zeros(x.shape[2:], dtype=torch.bool)
            mask[top:bottom, left:right] = True
        else:
            mask = torch.rand(x.shape[1:], generator=generator) < area
        taken = float(mask.float().mean())
        mixed = torch.where(mask, x[other], x)
        return mixed, (1 - taken) * targets + taken * targets[other]


def _span(size: int, share: float, place: float) -> tuple[int, int]:
    """A stretch of ``share`` of the size whose middle is at ``place``, cut at the borders."""
    middle, half = place * size, share * size / 2
    return max(0, round(middle - half)), min(size, round(middle + half))
