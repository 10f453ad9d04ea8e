"""A search for the nearest adversarial point, for attacks that shrink what they found."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any, Self

import torch

from hauberk.attack.ball import size
from hauberk.attack.search import Search, scored
from hauberk.core.threat import Norm, ThreatModel

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Batch
    from hauberk.core.model import Access, Model
    from hauberk.core.task import Task

FAR = 1e6


class Nearest(Search):
    """A search whose points may lie outside the ball, though within the bounds.

    A sample falls when the model is wrong on a point inside the ball. With ``shrink`` it goes on
    all the same, so that the nearest point is what comes back. Where only points outside were
    found, by the word of a ``fast`` copy, the nearest is pulled back into the ball at the end and
    asked about once more.
    """

    def __init__(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        *,
        task: Task,
        rng: np.random.Generator,
        needs: Access,
        shrink: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(model, batch, threat, task=task, rng=rng, needs=needs, **more)
        self.norm: Norm = threat.norm
        self._shrink, self._skips = shrink, not shrink
        with torch.inference_mode(mode=False):
            self._near = self._x.clone()
            self._radius = torch.full((len(batch),), inf, device=batch.x.device)

    @classmethod
    def by(
        cls,
        attack: Attack,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Self:
        """The search of an attack, which says by ``nearest`` and ``fast`` how it works."""
        return cls(
            model,
            batch,
            threat,
            task=task,
            rng=rng,
            needs=attack.needs,
            shrink=getattr(attack, "nearest", False),
            fast=getattr(attack, "fast", False),
        )

    @property
    def radius(self) -> Tensor:
        """Distance ``(standing,)`` of the nearest adversarial point found, infinite before one."""
        return self._radius[self._rows]

    @property
    def near(self) -> Tensor:
        """The nearest adversarial points ``(standing, ...)``, the clean one where there is none."""
        return self._near[self._rows]

    def within(self, points: Tensor) -> Tensor:
        """Bring points into the bounds, not into the ball."""
        return points.clamp(self.ball.bounds.low, self.ball.bounds.high)

    def result(self) -> Tensor:
        """The nearest point where it lies in the ball, else the point of highest loss in it."""
        if self._budget is None and not self.done():
            out = self.radius.isfinite() & (self.radius > self.ball.eps)
            if bool(out.any()):
                pulled = torch.where(
                    out.view(-1, *[1] * (self.x.ndim - 1)), self.project(self.near), self.x
                )
                self.ask(pulled)
        inside = self._radius <= self.ball.eps
        inside = inside & self.ball.contains(self._near, self._clean)
        chosen = torch.where(inside.view(-1, *[1] * (self._near.ndim - 1)), self._near, self._best)
        return chosen.clone()

    def _settle(self, points: Tensor, out: Tensor) -> Tensor:
        away = size(points - self._x, self.norm)
        inside = self.ball.contains(points, self._x)
        near = away < self._radius[self._rows]
        # A wrong point farther than one that is known changes nothing, and one outside the ball is
        # a hint at most, unless it is what is looked for: these are not confirmed.
        sure = near if self._shrink else near & inside
        confirmed = self._wrong(points, out, where=sure)
        nearer = torch.where(sure, confirmed, near & ~self._task.correct(out, self._y))
        self._near[self._rows[nearer]] = points[nearer]
        self._radius[self._rows[nearer]] = away[nearer].float()
        fell = confirmed & inside
        loss = self._task.loss(out, self._y)
        held = self._rows
        better = inside & (fell | (loss > self._loss[held])) & (self._loss[held] < inf)
        self._best[held[better]] = points[better]
        self._loss[held[better]] = scored(loss, fell)[better]
        # What is wrong untouched cannot be brought nearer.
        return self.leave(fell & (away == 0) if self._shrink else fell)

    def spread(self, rows: Tensor, copies: int, *, first: int = 0) -> None:
        """See :meth:`hauberk.attack.search.Search.spread`."""
        super().spread(rows, copies, first=first)
        self._near = self._x.clone()
        self._radius = torch.full((len(self._near),), inf, device=rows.device)

    def finds(self) -> tuple[Tensor, ...]:
        """See :meth:`hauberk.attack.search.Search.finds`; and the nearest point, and how near."""
        least = self._radius.view(-1, self._copies).min(1)
        place = torch.arange(len(least.indices), device=least.indices.device)
        near = self._near[least.indices + self._copies * place]
        return (*super().finds(), near, least.values)

    def adopt(self, rows: Tensor, finds: tuple[Tensor, ...]) -> Tensor:
        """See :meth:`hauberk.attack.search.Search.adopt`; which have left: see ``shrink``."""
        near, radius = finds[2:]
        held = self._rows[rows]
        nearer = radius < self._radius[held]
        self._near[held[nearer]] = near[nearer]
        self._radius[held[nearer]] = radius[nearer]
        fell = super().adopt(rows, finds)
        return fell & (radius == 0) if self._shrink else fell


def distances(
    attack: Attack,
    model: Model,
    batch: Batch,
    *,
    norm: Norm,
    task: Task,
    rng: np.random.Generator,
) -> Tensor:
    """How far the nearest adversarial point is that an attack finds, ``(batch,)``.

    0 where the model is wrong untouched, infinite where nothing was found. The attack must shrink
    what it finds: it is run without a radius.
    """
    threat = replace(ThreatModel(norm=norm), eps=FAR)
    points = attack(model, batch, threat, task=task, rng=rng)
    with torch.no_grad():
        right = task.correct(model(points.clone()), batch.y)
    return torch.where(right, inf, size(points - batch.x, norm))
