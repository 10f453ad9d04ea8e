"""Whether a model's gradient can be followed at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hauberk.attack.victim import Victim, quiet
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task


@dataclass(frozen=True, kw_only=True)
class GradientHealth:
    """Of ``n`` clean samples: how many have a ``finite`` loss, how many a ``nonzero`` gradient."""

    n: int
    finite: int
    nonzero: int


def gradient_health(model: Model, batches: Iterable[Batch], *, task: Task) -> GradientHealth | None:
    """Look at the loss and its gradient at clean points; None where the model gives no gradient."""
    if model.access < Access.GRADIENTS:
        return None
    n = finite = nonzero = 0
    with quiet(model):
        victim = Victim(model)
        for batch in batches:
            y = batch.y
            out, gradient = victim.climb(batch.x, lambda out, y=y: task.loss(out, y))  # type: ignore[misc]
            n += len(batch)
            finite += int(task.loss(out, y).isfinite().sum())
            nonzero += int((gradient.flatten(1).abs().amax(1) > 0).sum())
    return GradientHealth(n=n, finite=finite, nonzero=nonzero)
