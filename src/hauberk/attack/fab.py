"""Fast adaptive boundary: steps onto the linearised border, drawn back towards the sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.abreast import abreast
from hauberk.attack.ball import require_norm, size
from hauberk.attack.margins import difference, rows_of_logits, runners_up
from hauberk.attack.narrow import per_sample
from hauberk.attack.nearest import Nearest
from hauberk.attack.plane import to_plane
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

_HALVINGS = 3


@dataclass(frozen=True, kw_only=True)
class FAB:
    """The border to each of the ``targets`` nearest classes; ``linf``, ``l2`` and ``l1``.

    Each step goes ``overshoot`` times onto the linearised border, from the point and from the
    sample, weighed by their distances with ``pull`` at most for the sample; after a success the
    point is drawn back to ``back`` of its way. The first start is the sample itself. ``nearest``
    goes on to shrink what has fallen; ``fast`` works on a bfloat16 copy. Croce and Hein (2020),
    "Minimally distorted adversarial examples", algorithm 1, in the targeted form of AutoAttack.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 100
    restarts: int = 1
    targets: int = 9
    pull: float = 0.1
    overshoot: float = 1.05
    back: float = 0.9
    nearest: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        if min(self.steps, self.restarts, self.targets) < 1:
            raise UserError("fab needs at least one step, one start and one target")
        if not (0 <= self.pull <= 1 and 0 < self.back < 1 and 1 <= self.overshoot < 2):
            raise UserError("fab needs 0 <= pull <= 1, 0 < back < 1 and 1 <= overshoot < 2")

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
        require_norm(threat.norm, "linf", "l2", "l1")
        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            if search.done():
                return search.result()
            aims = runners_up(search.ask(search.x).out, search.y, self.targets)
            for restart in range(self.restarts):
                aims = aims[self._run(task, restart, search, aims[:, 0])]
                if aims.shape[1] > 1 and not search.done():
                    keep = abreast(search, aims[:, 1:], partial(self._run, task, restart))
                    aims = aims[keep]
                if search.done():
                    return search.result()
            if self.nearest:
                _bisect(search, task)
            return search.result()

    def _run(self, task: Task, number: int, search: Nearest, aim: Tensor) -> Tensor:
        """Follow the border towards ``aim`` ``(standing,)``; the positions that still stand."""
        points = _start(search, number) if number else search.x
        place = torch.arange(len(points), device=points.device)
        for _ in range(self.steps):
            if search.done():
                break
            slope = search.climb(
                points,
                lambda out, y, aim=aim: difference(rows_of_logits(out), y, aim),  # type: ignore[misc]
            )
            points, aim, place = (held[slope.keep] for held in (points, aim, place))
            wrong = ~task.correct(slope.out, search.y)
            # The linearised border: where the gap, followed along its slope, is 0.
            gap = difference(slope.out, search.y, aim)
            offset = (slope.gradient * points).flatten(1).sum(1) - gap
            # From a wrong point first back, and on by the same slope: asking for another there
            # would cost as much as a step.
            retreat = search.x + self.back * (points - search.x)
            points = torch.where(per_sample(wrong, points), retreat, points)
            points = self._step(search, points, slope.gradient, offset)
        return place

    def _step(self, search: Nearest, points: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
        norm, bounds = search.norm, search.ball.bounds
        here = to_plane(points, normal, offset, norm=norm, bounds=bounds)
        there = to_plane(search.x, normal, offset, norm=norm, bounds=bounds)
        near, far = size(here, norm), size(there, norm)
        share = (near / (near + far).clamp_min(1e-12)).clamp(0.0, self.pull)
        weight = per_sample(share, points)
        step = (points + self.overshoot * here) * (1 - weight)
        return search.within(step + (search.x + self.overshoot * there) * weight)


def _start(search: Nearest, number: int) -> Tensor:
    """A random point at half of the radius known so far, or of the ball's."""
    away = search.start(number) - search.x
    reach = torch.minimum(search.radius, torch.full_like(search.radius, search.ball.eps)) / 2
    scale = reach / size(away, search.norm).clamp_min(1e-12)
    return search.within(search.x + away * per_sample(scale, away))


def _bisect(search: Nearest, task: Task) -> None:
    """Halve the way between the sample and its nearest adversarial point, a few times."""
    low, high = torch.zeros_like(search.radius), torch.ones_like(search.radius)
    way = search.near - search.x
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        answer = search.ask(search.x + per_sample(middle, way) * way)
        low, high, middle, way = (held[answer.keep] for held in (low, high, middle, way))
        if search.done():
            return
        wrong = ~task.correct(answer.out, search.y)
        high, low = torch.where(wrong, middle, high), torch.where(wrong, low, middle)
