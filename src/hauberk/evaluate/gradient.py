"""Whether a model's gradient can be followed at all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import torch

from hauberk.attack.ball import project
from hauberk.attack.streams import Streams
from hauberk.attack.victim import Victim, quiet
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

# Below this a gradient is about to round to 0: float32 holds no normal number below 1e-38.
_FAINT = 1e-30


@dataclass(frozen=True, kw_only=True)
class GradientHealth:
    """Of ``n`` clean samples, at how many the gradient bears a test.

    ``finite``: the loss is a number. ``nonzero``: the gradient is not 0. ``strong``: nor about to
    round to 0, as where outputs saturate. ``steady``: asked twice, the model answers the same.
    ``leading``: a step along the gradient raises the loss more than a step of the same length
    along random signs.
    """

    n: int
    finite: int
    nonzero: int
    strong: int
    steady: int
    leading: int

    def __add__(self, other: Self) -> Self:
        both = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)
        }
        return type(self)(**both)


def gradient_health(
    model: Model, batches: Iterable[Batch], threat: ThreatModel, *, task: Task
) -> GradientHealth | None:
    """Look at the loss and its gradient at clean points; None where the model gives no gradient.

    The step that should raise the loss goes to the edge of the threat's ball.
    """
    if model.access < Access.GRADIENTS:
        return None
    total = GradientHealth(n=0, finite=0, nonzero=0, strong=0, steady=0, leading=0)
    with quiet(model):
        victim = Victim(model)
        for batch in batches:
            y = batch.y
            out, gradient = victim.climb(batch.x, lambda out, y=y: task.loss(out, y))  # type: ignore[misc]
            again = victim.answer(batch.x)
            largest = gradient.flatten(1).abs().amax(1)
            ahead, aside = (
                task.loss(victim.answer(_moved(model, batch, way, threat)), y)
                for way in (gradient.sign(), _signs(batch))
            )
            total += GradientHealth(
                n=len(batch),
                finite=int(task.loss(out, y).isfinite().sum()),
                nonzero=int((largest > 0).sum()),
                strong=int((largest > _FAINT).sum()),
                steady=int(torch.isclose(out, again, rtol=1e-3, atol=1e-4).flatten(1).all(1).sum()),
                leading=int((ahead > aside).sum()),
            )
    return total


def _moved(model: Model, batch: Batch, way: Tensor, threat: ThreatModel) -> Tensor:
    bounds = model.bounds
    reach = threat.eps if threat.eps > 0 else (bounds.high - bounds.low) / 100
    # Signs are longer than the ball in any other norm than linf, and are cut down to it.
    step = project(way * reach, threat.norm, reach)
    return (batch.x + step).clamp(bounds.low, bounds.high)


def _signs(batch: Batch) -> Tensor:
    values = batch.x[0].numel()
    draws = torch.from_numpy(Streams.of(0, batch.index).uniform(0, values)).to(batch.x)
    return (draws - 0.5).sign().view_as(batch.x)
