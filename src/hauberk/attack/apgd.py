"""Auto-PGD: projected gradient with momentum that halves its own steps when they stop paying."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch

from hauberk.attack.abreast import abreast
from hauberk.attack.ball import require_norm, steepest
from hauberk.attack.margins import dlr, dlr_towards, runners_up
from hauberk.attack.narrow import Memory, per_sample
from hauberk.attack.search import Search
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

Loss = Literal["ce", "dlr", "targeted"]
_MOMENTUM = 0.75


@dataclass(frozen=True, kw_only=True)
class APGD:
    """``steps`` steps from each of ``restarts`` random starts; ``linf`` and ``l2``; no step size.

    ``loss``: ``ce`` climbs the task's own loss, ``dlr`` the difference of logits ratio, and
    ``targeted`` its targeted form towards each of the ``targets`` nearest classes, of which the
    first ``skipped``, tried elsewhere, are left out. A sample's
    step is halved at a checkpoint if fewer than ``rho`` of the steps since the last one climbed,
    or if nothing was gained; it goes on from its best point then. ``fast`` works on a bfloat16
    copy. Croce and Hein (2020), algorithm 1 and section 4.

    Raises:
        UserError: if a number is out of range or the loss is unknown.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    loss: Loss = "ce"
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    skipped: int = 0
    rho: float = 0.75
    fast: bool = False

    def __post_init__(self) -> None:
        if self.loss not in get_args(Loss):
            raise UserError(f"unknown loss {self.loss!r}", hint="ce, dlr or targeted")
        if min(self.steps, self.restarts, self.targets) < 1:
            raise UserError("apgd needs at least one step, one start and one target")
        if not 0 <= self.skipped < self.targets:
            raise UserError(f"apgd cannot skip {self.skipped} of {self.targets} targets")
        if not 0 < self.rho < 1:
            raise UserError(f"apgd's rho must lie in (0, 1), not {self.rho}")

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
            if search.done():
                return search.result()
            near = search.ask(search.x).out
            if search.done():
                return search.result()
            aims = search.y[:, None]
            if self.loss == "targeted":
                aims = runners_up(near, search.y, self.targets)
            for restart in range(self.restarts):
                if self.skipped == 0:
                    # The nearest class alone: most samples that fall at all fall towards it.
                    aims = aims[self._climb(task, restart, search, aims[:, 0])]
                rest = aims[:, max(1, self.skipped) :]
                if rest.shape[1] and not search.done():
                    aims = aims[abreast(search, rest, partial(self._climb, task, restart))]
                if search.done():
                    break
            return search.result()

    def _climb(self, task: Task, number: int, search: Search, aim: Tensor) -> Tensor:
        """One run from one start towards ``aim`` ``(standing,)``; the positions that stand then."""
        objective = self._objective(task)
        points = search.start(number)
        slope = search.climb(points, lambda out, y: objective(out, y, aim))
        climb = _Climb(
            points=points,
            last=points,
            best=points.clone(),
            gradient=torch.zeros_like(points),
            step=points.new_full((len(points),), 2 * search.ball.eps),
            value=points.new_full((len(points),), float("-inf")),
            top=points.new_full((len(points),), float("-inf")),
            anchor=points.new_full((len(points),), float("-inf")),
            rises=points.new_zeros(len(points)),
            halved=torch.ones(len(points), dtype=torch.bool, device=points.device),
            aim=aim,
            place=torch.arange(len(points), device=points.device),
        )
        climb.narrow(slope.keep)
        climb.arrive(objective(slope.out, search.y, climb.aim), slope.gradient)
        climb.anchor, climb.rises = climb.top.clone(), torch.zeros_like(climb.rises)
        direction = slope.gradient
        length, since = max(1, int(0.22 * self.steps)), 0
        for step in range(self.steps):
            if search.done():
                break
            moved = _step(search, climb, direction, momentum=step > 0)
            climb.last, climb.points = climb.points, moved
            slope = search.climb(moved, lambda out, y: objective(out, y, climb.aim))
            climb.narrow(slope.keep)
            climb.arrive(objective(slope.out, search.y, climb.aim), slope.gradient)
            direction = slope.gradient
            since += 1
            if since == length:
                direction = climb.checkpoint(direction, length, self.rho)
                less = max(1, int(0.03 * self.steps))
                length = max(1, int(0.06 * self.steps), length - less)
                since = 0
        return climb.place

    def _objective(self, task: Task) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        if self.loss == "ce":
            return lambda out, y, _: task.loss(out, y)
        if self.loss == "dlr":
            return lambda out, y, _: dlr(out, y)
        return dlr_towards


@dataclass
class _Climb(Memory):
    """The state of a run: where each sample is, was, did best, and how its steps have paid."""

    points: Tensor
    last: Tensor
    best: Tensor
    gradient: Tensor
    step: Tensor
    value: Tensor
    top: Tensor
    anchor: Tensor
    rises: Tensor
    halved: Tensor
    aim: Tensor
    place: Tensor

    def arrive(self, value: Tensor, gradient: Tensor) -> None:
        """Count a rise, and keep the point if it is the best so far."""
        self.rises += value > self.value
        self.value = value
        self.replace(value > self.top, best=self.points, gradient=gradient, top=value)

    def checkpoint(self, direction: Tensor, length: int, rho: float) -> Tensor:
        """Halve the steps that stopped paying and go back to the best point; the direction then."""
        stuck = (self.rises <= rho * length) | (~self.halved & (self.anchor >= self.top))
        self.step = torch.where(stuck, self.step / 2, self.step)
        self.halved, self.anchor = stuck, self.top.clone()
        self.rises = torch.zeros_like(self.rises)
        self.points = torch.where(per_sample(stuck, self.points), self.best, self.points)
        return torch.where(per_sample(stuck, direction), self.gradient, direction)


def _step(search: Search, climb: _Climb, direction: Tensor, *, momentum: bool) -> Tensor:
    """The next points: a step, and a quarter of the way that the last one went."""
    way = per_sample(climb.step, direction) * steepest(direction, search.ball.norm)
    ahead = search.project(climb.points + way)
    if not momentum:
        return ahead
    pull = _MOMENTUM * (ahead - climb.points) + (1 - _MOMENTUM) * (climb.points - climb.last)
    return search.project(climb.points + pull)
