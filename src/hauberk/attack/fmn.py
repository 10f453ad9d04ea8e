"""Fast minimum norm: the radius itself is searched, a little less after a success."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, pi
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import project, require_norm, size
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

_DUAL = {"linf": 1.0, "l2": 2.0, "l1": inf}
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class FMN:
    """``steps`` steps in any norm, each within a radius that closes in on the border.

    The radius shrinks by ``closing`` after a success and grows by it after a failure; the step is
    ``stride`` long in ``l2``; both fall along a cosine, to a hundredth of ``stride`` and a
    fiftieth of ``closing``. ``nearest`` goes on to shrink what has fallen; ``fast`` works on a
    bfloat16 copy. Pintor et al. (2021), algorithm 1.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 100
    stride: float = 1.0
    closing: float = 0.05
    nearest: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError("fmn needs at least one step")
        if not (0 < self.stride < inf and 0 < self.closing < 1):
            raise UserError("fmn needs a stride above 0 and a closing in (0, 1)")

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
        require_norm(threat.norm, "linf", "l2", "l1", "l0")

        def lead_of(out: Tensor, y: Tensor) -> Tensor:
            return -task.margin(out, y)

        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            radius = torch.full_like(search.radius, inf)
            delta = torch.zeros_like(search.x)
            for step in range(self.steps):
                if search.done():
                    break
                slope = search.climb(search.within(search.x + delta), lead_of)
                delta, radius = delta[slope.keep], radius[slope.keep]
                lead = lead_of(slope.out, search.y)
                rate = self._falling(self.closing, 50, step)
                radius = _radius(search, radius, delta, lead, slope.gradient, rate)
                length = self._falling(self.stride, 100, step)
                steepness = slope.gradient.flatten(1).norm(dim=1).clamp_min(_TINY)
                delta = delta + per_sample(length / steepness, delta) * slope.gradient
                delta = _onto(delta, search, radius)
                delta = search.within(search.x + delta) - search.x
            else:
                if not search.done():
                    search.ask(search.within(search.x + delta))
            return search.result()

    def _falling(self, start: float, fraction: float, step: int) -> float:
        end = start / fraction
        return end + (start - end) * (1 + cos(pi * step / self.steps)) / 2


def _radius(
    search: Nearest,
    radius: Tensor,
    delta: Tensor,
    lead: Tensor,
    gradient: Tensor,
    rate: float,
) -> Tensor:
    """The next radius: less than the best after a success; to the border before any; else more."""
    wrong, known = lead >= 0, search.radius.isfinite()
    if search.norm == "l0":
        # Counts: at least one value more or less.
        first = torch.where(radius.isinf(), 1.0, torch.maximum(radius + 1, radius * (1 + rate)))
        more = torch.maximum(radius + 1, (radius * (1 + rate)).floor())
        best = torch.minimum(radius, search.radius)
        less = torch.minimum(best - 1, (best * (1 - rate)).floor()).clamp_min(1.0)
    else:
        slope = torch.linalg.vector_norm(gradient.flatten(1), ord=_DUAL[search.norm], dim=1)
        # A little beyond the border, or rounding may hold a point just before it for ever.
        first = (size(delta, search.norm) + lead.abs() / slope.clamp_min(_TINY)) * (1 + rate)
        more = radius * (1 + rate)
        less = torch.minimum(radius, search.radius) * (1 - rate)
    return torch.where(wrong & known, less, torch.where(known, more, first))


def _onto(delta: Tensor, search: Nearest, radius: Tensor) -> Tensor:
    """Project each difference onto its own radius."""
    if search.norm == "linf":
        limit = per_sample(radius, delta)
        return torch.minimum(torch.maximum(delta, -limit), limit)
    if search.norm == "l2":
        return delta * per_sample((radius / size(delta, "l2").clamp_min(_TINY)).clamp_max(1), delta)
    if search.norm == "l0":
        flat = delta.flatten(1)
        rank = flat.abs().argsort(dim=1, descending=True, stable=True).argsort(1)
        return flat.where(rank < radius[:, None], 0.0).view_as(delta)
    # The l1 projection scales: a ball of radius 1 serves every radius.
    scale = per_sample(radius.clamp_min(_TINY), delta)
    return project(delta / scale, "l1", 1.0) * scale
