"""The fast gradient sign method: one step to the edge of the ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hauberk.attack.ball import require_norm, steepest
from hauberk.attack.search import Search
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class FGSM:
    """One step of length ``eps`` along the gradient's sign, or its direction in ``l2``.

    Goodfellow, Shlens and Szegedy (2015), section 4. ``fast`` works on a bfloat16 copy.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    fast: bool = False

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
        with Search(
            model, batch, threat, task=task, rng=rng, needs=self.needs, fast=self.fast
        ) as search:
            if not search.done():
                slope = search.climb(search.x, task.loss)
                step = threat.eps * steepest(slope.gradient, threat.norm)
                if not search.done():
                    search.ask(search.project(search.x + step))
            return search.result()
