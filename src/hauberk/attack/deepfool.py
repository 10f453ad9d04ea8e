"""DeepFool: straight to the nearest border as the model looks from here, again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import require_norm, steepest
from hauberk.attack.margins import rows_of_logits, runners_up
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

_NUDGE = 1e-4


@dataclass(frozen=True, kw_only=True)
class DeepFool:
    """At most ``steps`` steps, each to the nearest of ``candidates`` borders; ``linf``, ``l2``.

    The sum of the steps is stretched by ``overshoot``. A sample whose first adversarial point lies
    outside the ball is left there: one point is all that this attack finds. ``fast`` works on a
    bfloat16 copy. Moosavi-Dezfooli et al. (2016), algorithm 2.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 50
    candidates: int = 9
    overshoot: float = 0.02
    nearest: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.candidates < 1:
            raise UserError("deepfool needs at least one step and one candidate")
        if not 0 <= self.overshoot < 1:
            raise UserError(f"deepfool's overshoot must lie in [0, 1), not {self.overshoot}")

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
        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            if search.done():
                return search.result()
            aims = runners_up(search.ask(search.x).out, search.y, self.candidates)
            total = torch.zeros_like(search.x)
            points = search.x
            for _ in range(self.steps):
                if search.done():
                    break
                slope = search.fan(points, lambda out, y, aims=aims: _gaps(out, y, aims))  # type: ignore[misc]
                total, points, aims = (held[slope.keep] for held in (total, points, aims))
                gaps = _gaps(slope.out, search.y, aims)
                moved = total + _shortest(slope.gradient, gaps, search)
                total = torch.where(per_sample(search.radius.isfinite(), total), total, moved)
                points = search.within(search.x + (1 + self.overshoot) * total)
                if bool(search.radius.isfinite().all()):
                    break
            else:
                if not search.done():
                    search.ask(points)
            return search.result()


def _gaps(out: Tensor, y: Tensor, aims: Tensor) -> Tensor:
    """Each aim's logit less the label's, ``(standing, aims)``."""
    logits = rows_of_logits(out)
    return logits.gather(1, aims) - logits.gather(1, y[:, None])


def _shortest(slopes: Tensor, gaps: Tensor, search: Nearest) -> Tensor:
    """The step to the nearest of the linearised borders."""
    flat = slopes.flatten(2)
    linf = search.norm == "linf"
    steepness = (flat.abs().sum(2) if linf else flat.norm(dim=2)).clamp_min(1e-12)
    away, choice = (gaps.abs() / steepness).min(1)
    rows = torch.arange(len(choice), device=choice.device)
    chosen = slopes[rows, choice]
    return per_sample(away + _NUDGE, chosen) * steepest(chosen, search.norm)
