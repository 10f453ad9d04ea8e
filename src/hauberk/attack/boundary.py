"""The boundary attack: a walk along the border by labels alone, ever nearer to the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.attack.ball import require_norm, size, steepest
from hauberk.attack.border import begin, spare
from hauberk.attack.narrow import Memory, per_sample
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

_TRIES = 32
_CHECKED = 10
_FADE = 1.5


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """At most ``queries`` points a sample; ``l2``; labels suffice.

    Each step goes ``around`` times the distance along the sphere about the sample, then ``inward``
    times the distance towards it. Both adapt: one in ten points on the sphere is asked about by
    itself, so that half of those stay wrong, and a fifth of the steps. The threat's own
    ``queries`` bounds it further. ``nearest`` goes on to shrink what has fallen. Brendel, Rauber
    and Bethge (2018), section 2.

    Raises:
        UserError: if a number is out of range.
    """

    needs: ClassVar[Access] = Access.LABELS

    queries: int = 5000
    around: float = 0.01
    inward: float = 0.01
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise UserError(f"boundary needs at least one query, not {self.queries}")
        if not (0 < self.around < 1 and 0 < self.inward < 1):
            raise UserError("boundary needs steps in (0, 1)")

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
        require_norm(threat.norm, "l2")
        total = min(self.queries, threat.queries or self.queries)
        with Nearest.by(self, model, batch, threat, task=task, rng=rng) as search:
            if not search.done():
                search.ask(search.x)
            points = begin(search, task, turns=_TRIES, queries=total)
            zero = points.new_zeros(len(points))
            walk = _Walk(
                points=points,
                around=torch.full_like(zero, self.around),
                inward=torch.full_like(zero, self.inward),
                sphere=zero,
                steps=zero.clone(),
            )
            turn = 0
            while not search.done() and spare(search, total) >= 2:
                turn += 1
                _step(search, task, walk, turn)
            return search.result()


@dataclass
class _Walk(Memory):
    """Where each sample's walk is, how far it steps, and how its steps have paid of late.

    ``sphere`` and ``steps`` are running means of successes, as sums over a fading past.
    """

    points: Tensor
    around: Tensor
    inward: Tensor
    sphere: Tensor
    steps: Tensor

    def adapt(self) -> None:
        """Longer steps where most succeed, shorter where few do."""
        half = self.sphere
        grow, shrink = half > 0.5, half < 0.2
        self.around = self._scaled(self.around, grow, shrink)
        self.inward = self._scaled(self.inward, grow, shrink)
        self.inward = self._scaled(self.inward, self.steps > 0.25, self.steps < 0.1)

    @staticmethod
    def _scaled(length: Tensor, grow: Tensor, shrink: Tensor) -> Tensor:
        length = torch.where(grow, length * _FADE, torch.where(shrink, length / _FADE, length))
        return length.clamp(1e-7, 0.5)


def _step(search: Nearest, task: Task, walk: _Walk, turn: int) -> None:
    """One step of every walk; every tenth turn the point on the sphere is asked about too."""
    values = search.x[0].numel()
    draws = search.uniform(turn + _TRIES, values).to(search.x).view_as(search.x)
    draws = torch.special.ndtri(draws.clamp(1e-7, 1 - 1e-7))
    back = search.x - walk.points
    away = size(back, "l2")
    inside = steepest(back, "l2")
    # Along the sphere: what of the draw is at a right angle to the way back.
    along = (draws * inside).flatten(1).sum(1)
    side = steepest(draws - per_sample(along, inside) * inside, "l2")
    moved = walk.points + per_sample(walk.around * away, side) * side
    shift = moved - search.x
    turned = search.within(
        search.x + per_sample(away / size(shift, "l2").clamp_min(1e-12), shift) * shift
    )
    if turn % _CHECKED == 0:
        answer = search.ask(turned)
        walk.narrow(answer.keep)
        turned, away = turned[answer.keep], away[answer.keep]
        wrong = ~task.correct(answer.out, search.y)
        walk.sphere = walk.sphere + 0.3 * (wrong.to(walk.sphere) - walk.sphere)
        if search.done():
            return
    gap = size(turned - search.x, "l2")
    # As near as the step inward says, also where the bounds have pulled the point off the sphere.
    goal = ((1 - walk.inward) * away / gap.clamp_min(1e-12)).clamp_max(1.0)
    tried = search.within(search.x + per_sample(goal, turned) * (turned - search.x))
    answer = search.ask(tried)
    wrong = ~task.correct(answer.out, search.y)
    walk.narrow(answer.keep)
    tried = tried[answer.keep]
    walk.steps = walk.steps + 0.1 * (wrong.to(walk.steps) - walk.steps)
    walk.points = torch.where(per_sample(wrong, tried), tried, walk.points)
    if turn % _CHECKED == 0:
        walk.adapt()
