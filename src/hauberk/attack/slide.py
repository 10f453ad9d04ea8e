"""PGD in l1: each step goes along the signs of the steepest few values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hauberk.attack.ball import require_norm
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


@dataclass(frozen=True, kw_only=True)
class Slide:
    """``steps`` steps of ``step_size`` in ``l1``, begun anew ``restarts`` times.

    ``share`` of the values, the steepest, move by the same amount each; a whole gradient would
    spread the step over all of them and hardly move any, the steepest value alone would soon stand
    at its bound. ``step_size`` is in ``l1``; None takes 2.5 ``eps`` / ``steps``. ``fast`` works on
    a bfloat16 copy. Tramèr and Boneh (2019), section 3.3.

    Raises:
        UserError: if a number is out of range, or restarts would all be the same.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 40
    restarts: int = 1
    step_size: float | None = None
    share: float = 0.05
    random_start: bool = True
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise UserError("slide needs at least one step and one start")
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise UserError(f"slide's step size must be above 0, not {self.step_size}")
        if not 0 < self.share <= 1:
            raise UserError(f"slide's share must lie in (0, 1], not {self.share}")
        if self.restarts > 1 and not self.random_start:
            raise UserError("restarts without a random start all end at the same point")

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
        require_norm(threat.norm, "l1")
        length = self.step_size if self.step_size is not None else 2.5 * threat.eps / self.steps
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if self.random_start and not search.done():
                search.ask(search.x)
            for restart in range(self.restarts):
                if search.done():
                    break
                points = search.start(restart) if self.random_start else search.x
                for _ in range(self.steps):
                    slope = search.climb(points, task.loss)
                    if search.done():
                        break
                    many = max(1, round(self.share * slope.gradient[0].numel()))
                    way = steepest_few(slope.gradient, slope.gradient.new_full((1,), many))
                    points = search.project(points[slope.keep] + length * way)
                else:
                    search.ask(points)
            return search.result()


def steepest_few(gradient: Tensor, many: Tensor) -> Tensor:
    """The signs of the ``many`` ``(batch,)`` steepest values of each gradient, of ``l1`` norm 1.

    Values as steep as the last of them go along; a gradient of zero gives zero.
    """
    flat = gradient.flatten(1).abs()
    place = (many.long().clamp(1, flat.shape[1]) - 1).expand(len(flat))
    bar = flat.sort(dim=1, descending=True).values.gather(1, place[:, None])
    signs = gradient.sign() * (flat >= bar).view_as(gradient)
    return signs / per_sample(signs.flatten(1).abs().sum(1).clamp_min(1.0), signs)
