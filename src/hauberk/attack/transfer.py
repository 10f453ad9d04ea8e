"""Transfer: points found on surrogates, made to hold for a model that is hardly asked."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn.functional import affine_grid, conv2d, grid_sample

from hauberk.attack.ball import require_norm, steepest
from hauberk.attack.narrow import per_sample
from hauberk.attack.search import Search
from hauberk.attack.victim import Victim, quiet, require
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

_TINY = 1e-30


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """``steps`` steps with momentum on ``surrogates``; the model itself is asked twice a sample.

    Of each image a share of ``diversity`` is shown shrunk, to ``shrink`` of its side at least, at
    a random place (Xie et al. 2019, section 3.3). Gradients are smoothed by a Gaussian of
    ``kernel`` pixels, which makes up for shifts (Dong et al. 2019, section 3.2); 1 smooths
    nothing. Steps, of ``eps`` / ``steps``, follow a sum of gradients that fades by ``momentum``
    (Dong et al. 2018, algorithm 1). ``linf`` and ``l2``; rows of a table get momentum alone.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.LABELS

    surrogates: tuple[Model, ...] = ()
    steps: int = 20
    momentum: float = 1.0
    diversity: float = 0.5
    shrink: float = 0.8
    kernel: int = 5
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError("transfer needs at least one step")
        if not (0 <= self.momentum <= 1 and 0 <= self.diversity <= 1 and 0 < self.shrink <= 1):
            raise UserError("transfer's momentum, diversity and shrink must lie in [0, 1]")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UserError(f"transfer's kernel must be odd, not {self.kernel}")

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
        if not self.surrogates:
            raise UserError(
                "transfer has no surrogate to find points on",
                hint="name a model of your own by --surrogate",
            )
        for surrogate in self.surrogates:
            require(surrogate, Access.GRADIENTS)
        with (
            Search(model, batch, threat, task=task, rng=rng, needs=self.needs) as search,
            ExitStack() as stack,
        ):
            if not search.done():
                search.ask(search.x)
            if search.done():
                return search.result()
            for surrogate in self.surrogates:
                stack.enter_context(quiet(surrogate))
            victims = [Victim(surrogate, fast=self.fast) for surrogate in self.surrogates]
            points, way = search.x, torch.zeros_like(search.x)
            for step in range(self.steps):
                slope = self._slope(search, task, victims, points, step)
                mean = slope.abs().flatten(1).mean(1).clamp_min(_TINY)
                way = self.momentum * way + slope / per_sample(mean, slope)
                length = threat.eps / self.steps
                points = search.project(points + length * steepest(way, threat.norm))
            search.ask(points)
            return search.result()

    def _slope(
        self, search: Search, task: Task, victims: list[Victim], points: Tensor, step: int
    ) -> Tensor:
        """The mean slope over the surrogates, each of which sees its own view."""
        total = torch.zeros_like(points)
        for number, victim in enumerate(victims):
            shown = self._shown(search, points, step * len(victims) + number)
            seen, back = shown
            _, slope = victim.climb(seen, lambda out: task.loss(out, search.y))
            if back is not None:
                with torch.enable_grad():
                    leaf = points.detach().clone().requires_grad_()
                    view = grid_sample(leaf, back, align_corners=False)
                    (slope,) = torch.autograd.grad(view, leaf, slope)
            total = total + slope
        return self._smoothed(total / len(victims))

    def _shown(self, search: Search, points: Tensor, number: int) -> tuple[Tensor, Tensor | None]:
        """The images as a surrogate sees them, and the grid that leads back."""
        if points.ndim != 4 or self.diversity == 0 or self.shrink == 1:
            return points, None
        draws = search.uniform(number, 4).to(points)
        scale = self.shrink + (1 - self.shrink) * draws[:, 1]
        scale = torch.where(draws[:, 0] < self.diversity, scale, torch.ones_like(scale))
        # Wherever the smaller image fits; the grid says where in the source a pixel lies.
        room = 1 - scale
        matrix = points.new_zeros(len(points), 2, 3)
        matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / scale
        matrix[:, :, 2] = (2 * draws[:, 2:] - 1) * (room / scale)[:, None]
        grid = affine_grid(matrix, list(points.shape), align_corners=False)
        return grid_sample(points, grid, align_corners=False), grid

    def _smoothed(self, slope: Tensor) -> Tensor:
        if slope.ndim != 4 or self.kernel == 1:
            return slope
        place = torch.arange(self.kernel, dtype=slope.dtype, device=slope.device)
        spread = (place - self.kernel // 2) / (self.kernel / 6)
        line = torch.exp(-spread.square() / 2)
        line = line / line.sum()
        channels = slope.shape[1]
        weight = (line[:, None] * line[None, :]).expand(channels, 1, -1, -1)
        return conv2d(slope, weight.contiguous(), padding=self.kernel // 2, groups=channels)
