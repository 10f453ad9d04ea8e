"""One printed patch for all images, that holds wherever and however it is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

from hauberk.attack.ball import patch_side, require_norm
from hauberk.attack.search import Search
from hauberk.attack.streams import Streams
from hauberk.attack.victim import Victim, quiet, require
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Bounds, Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class PhysicalPatch:
    """A fixed ``patch``, shown to each image in ``views`` drawn views; norm ``patch``.

    A view turns the patch by up to ``turn`` degrees, shrinks it to ``shrink`` of its side at
    least, lights it by up to ``light`` of the bounds' range, and puts it anywhere. :meth:`fit`
    climbs the mean loss over drawn views of ``size`` drawn images at each of ``steps`` steps, of
    ``stride`` of the range at first and a tenth of that in the end: expectation over
    transformations (Athalye et al. 2018), for a patch (Brown et al. 2017). Labels
    suffice once it is fitted. Another radius than the one of the fit resizes the patch.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.LABELS

    steps: int = 200
    size: int = 50
    stride: float = 0.05
    turn: float = 20.0
    shrink: float = 0.8
    light: float = 0.1
    views: int = 4
    patch: Tensor | None = None

    def __post_init__(self) -> None:
        if min(self.steps, self.size, self.views) < 1:
            raise UserError("a patch needs at least one step, one image at a time and one view")
        if not (0 < self.stride <= 1 and 0 < self.shrink <= 1 and 0 <= self.light <= 1):
            raise UserError("a patch's stride, shrink and light must lie in [0, 1]")
        if not 0 <= self.turn <= 45:
            raise UserError(f"a patch turns by 0 to 45 degrees, not {self.turn}")

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
        if self.patch is None:
            raise UserError(
                "a physical patch is learned from other images first",
                hint="call its fit; `hauberk evaluate` does, on the validation split",
            )
        with Search(model, batch, threat, task=task, rng=rng, needs=self.needs) as search:
            if not search.done():
                search.ask(search.x)
            if side == 0:
                return search.result()
            sized = interpolate(
                self.patch[None].to(search.x), (side, side), mode="bilinear", antialias=True
            )[0]
            for view in range(self.views):
                if search.done():
                    break
                draws = search.uniform(view, 5).to(search.x)
                search.ask(self.shown(search.x, sized, draws, search.ball.bounds))
            return search.result()

    def fit(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> PhysicalPatch:
        """See :class:`hauberk.attack.attack.Fits`."""
        require_norm(threat.norm, "patch")
        require(model, Access.GRADIENTS)
        side = patch_side(threat.eps, batch.x.shape)
        if side == 0 or len(batch) == 0 or batch.x.ndim != 4:
            raise UserError("a patch is learned from images, and covers a part of them")
        bounds = model.bounds
        span = bounds.high - bounds.low
        patch = batch.x.new_full((batch.x.shape[1], side, side), (bounds.low + bounds.high) / 2)
        streams = Streams.of(int(rng.integers(2**63)), batch.index)
        with torch.inference_mode(mode=False), quiet(model):
            victim = Victim(model)
            for step in range(self.steps):
                length = self.stride * (1 - 0.9 * step / self.steps) * span
                rows = rng.permutation(len(batch))[: self.size]
                x, y = batch.x[rows], batch.y[rows]
                draws = torch.from_numpy(streams.take(rows).uniform(step, 5)).to(x)
                with torch.enable_grad():
                    leaf = patch.detach().clone().requires_grad_()
                    points = self.shown(x, leaf, draws, bounds)
                    _, slope = victim.climb(points, lambda out, y=y: task.loss(out, y))  # type: ignore[misc]
                    (way,) = torch.autograd.grad(points, leaf, slope)
                patch = (patch + length * way.sign()).clamp(bounds.low, bounds.high)
        return replace(self, patch=patch)

    def shown(self, images: Tensor, patch: Tensor, draws: Tensor, bounds: Bounds) -> Tensor:
        """Images with the patch in the views that ``draws`` ``(batch, 5)`` in [0, 1) say.

        The turned patch fits into a square of its own side, of which nothing lies outside.
        """
        height, width = images.shape[-2:]
        side = patch.shape[-1]
        angle = (2 * draws[:, 0] - 1) * self.turn * pi / 180
        scale = self.shrink + (1 - self.shrink) * draws[:, 1]
        scale = scale / (angle.cos() + angle.sin().abs())
        top = (draws[:, 2] * (height - side + 1)).floor()
        left = (draws[:, 3] * (width - side + 1)).floor()
        # From a pixel of the image to the patch, in units of half a side of each.
        cos, sin = angle.cos() / scale, angle.sin() / scale
        middle = torch.stack([(2 * left + side) / width - 1, (2 * top + side) / height - 1], 1)
        across, down = width / side, height / side
        matrix = torch.stack(
            [
                torch.stack([cos * across, sin * down], 1),
                torch.stack([-sin * across, cos * down], 1),
            ],
            1,
        )
        shift = -(matrix @ middle[:, :, None])
        grid = affine_grid(torch.cat([matrix, shift], 2), list(images.shape), align_corners=False)
        lit = patch + (2 * draws[:, 4, None, None, None] - 1) * self.light * (
            bounds.high - bounds.low
        )
        seen = grid_sample(lit, grid, padding_mode="border", align_corners=False)
        cover = (grid.abs().amax(-1) <= 1)[:, None]
        return torch.where(cover, seen.clamp(bounds.low, bounds.high), images)
