"""One perturbation for every sample, learned from others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import project, require_norm, steepest
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


@dataclass(frozen=True, kw_only=True)
class Universal:
    """A fixed ``perturbation`` of the size of one sample; ``linf`` and ``l2``; labels suffice.

    :meth:`fit` climbs the mean loss of ``size`` drawn samples at each of ``steps`` steps, of
    ``step`` times eps at first and a tenth of that in the end. A sample's loss counts up to
    ``most``, or the few that are lost already would lead. Another radius than the one of the fit
    scales the perturbation. Moosavi-Dezfooli et al. (2017) for the idea, Shafahi et al. (2020),
    section 4, for the method.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.LABELS

    steps: int = 200
    size: int = 100
    step: float = 0.1
    most: float = 9.0
    perturbation: Tensor | None = None
    radius: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.size < 1:
            raise UserError("universal needs at least one step and one sample at a time")
        if not (0 < self.step <= 2 and self.most > 0):
            raise UserError("universal needs a step in (0, 2] and a loss above 0")

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
        if self.perturbation is None:
            raise UserError(
                "a universal perturbation is learned from other samples first",
                hint="call its fit; `hauberk evaluate` does, on the validation split",
            )
        with Search(model, batch, threat, task=task, rng=rng, needs=self.needs) as search:
            if not search.done():
                search.ask(search.x)
            if not search.done():
                scaled = self.perturbation.to(search.x) * (threat.eps / self.radius)
                search.ask(search.project(search.x + scaled))
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
    ) -> Universal:
        """See :class:`hauberk.attack.attack.Fits`."""
        require_norm(threat.norm, "linf", "l2")
        require(model, Access.GRADIENTS)
        if threat.eps == 0 or len(batch) == 0:
            raise UserError("there is nothing to learn without samples or without a radius")
        delta = torch.zeros_like(batch.x[:1])
        with torch.inference_mode(mode=False), quiet(model):
            victim = Victim(model)
            for step in range(self.steps):
                length = self.step * (1 - 0.9 * step / self.steps) * threat.eps
                rows = torch.from_numpy(rng.permutation(len(batch))[: self.size])
                y = batch.y[rows]
                points = (batch.x[rows] + delta).clamp(model.bounds.low, model.bounds.high)

                def capped(out: Tensor, y: Tensor = y) -> Tensor:
                    return task.loss(out, y).clamp_max(self.most)

                _, slope = victim.climb(points, capped)
                moved = delta + length * steepest(slope.sum(0, keepdim=True), threat.norm)
                # The bounds are those of each sample: here only the radius holds.
                delta = project(moved, threat.norm, threat.eps)
        return replace(self, perturbation=delta[0], radius=threat.eps)
