"""Projected gradient descent: many small steps, pulled back into the ball after each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hauberk.attack.ball import require_norm, steepest
from hauberk.attack.search import Search
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import Norm, ThreatModel


@dataclass(frozen=True, kw_only=True)
class PGD:
    """``steps`` steps of ``step_size``, begun anew ``restarts`` times; ``linf`` and ``l2``.

    ``step_size`` is in the unit of the input; None takes 2.5 ``eps`` / ``steps``, with which the
    edge of the ball is in reach from every start. Madry et al. (2018), section 2.1. ``fast`` works
    on a bfloat16 copy.

    Raises:
        UserError: if a number is out of range, or restarts would all be the same.
    """

    needs: ClassVar[Access] = Access.GRADIENTS
    name: ClassVar[str] = "pgd"
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: int = 40
    restarts: int = 1
    step_size: float | None = None
    random_start: bool = True
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise UserError(
                f"{self.name} needs a step and a start, not {self.steps} and {self.restarts}"
            )
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise UserError(f"{self.name}'s step size must be above 0, not {self.step_size}")
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
        require_norm(threat.norm, *self.norms)
        size = self.step_size if self.step_size is not None else 2.5 * threat.eps / self.steps
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
                    step = size * self._way(slope.gradient, threat.norm)
                    points = search.project(points[slope.keep] + step)
                else:
                    search.ask(points)
            return search.result()

    def _way(self, gradient: Tensor, norm: Norm) -> Tensor:
        """The way of a step of length 1."""
        return steepest(gradient, norm)
