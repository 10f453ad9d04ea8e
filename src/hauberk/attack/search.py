"""What every attack shares: who still stands, the best point of each, and the budget.

An attack asks about one point for every standing sample at a time. A sample falls when the model
is wrong on its point; from then on it is left out, so each call shrinks to what still stands.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from math import inf, prod
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from hauberk.attack.ball import Ball
from hauberk.attack.lawful import Lawful
from hauberk.attack.proof import proven
from hauberk.attack.streams import Streams
from hauberk.attack.victim import Victim, quiet, require
from hauberk.core.data import Batch
from hauberk.core.errors import DataError, HauberkError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hauberk.core.model import Bounds, Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True)
class Answer:
    """What the model said of the samples that still stand.

    ``keep`` holds their positions among the samples asked about: state that an attack carries for
    each sample is narrowed by it. ``out`` are their outputs.
    """

    keep: Tensor
    out: Tensor


@dataclass(frozen=True)
class Slope(Answer):
    """An answer with the ``gradient`` of the objective at the points of those that stand."""

    gradient: Tensor


class Search:
    """One attack on one batch; a context in which the model is quiet.

    ``x``, ``y`` and what :meth:`uniform` draws always belong to the standing samples. Every fall
    is confirmed in full precision by the model itself; with ``fast`` the rest is asked of a copy
    (see :class:`hauberk.attack.victim.Victim`), and samples of small networks that interval bounds
    prove right in the whole ball stand without being attacked: their point is the clean one.

    Raises:
        UserError: if the model gives less than ``needs``.
        DataError: if the batch does not fit or lies outside the model's bounds.
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
        fast: bool = False,
    ) -> None:
        require(model, needs)
        _check(batch, model.bounds)
        self.seed = int(rng.integers(2**63))
        self.ball = Ball(threat.norm, threat.eps, model.bounds)
        self.spent = 0
        self._budget = threat.queries if needs < Access.GRADIENTS else None
        self._model, self._task, self._fast, self._skips = model, task, fast, True
        # Attacks that only compare scores get stuck on the steps of rounded ones.
        self._half = needs == Access.GRADIENTS
        # Copies outside of inference mode, so that gradients work under a caller's.
        with torch.inference_mode(mode=False):
            self._x, self._y = batch.x.detach().clone(), batch.y.clone()
            self._clean, self._best = self._x, self._x.clone()
            self._rows = torch.arange(len(batch), device=batch.x.device)
            self._loss = torch.full((len(batch),), -inf, device=batch.x.device)
        self._law = Lawful(threat.features, self.ball) if threat.features else None
        if self._law and len(batch):
            self._law.check(batch.x)
        self._index = batch.index
        self._streams = Streams.of(self.seed, batch.index)
        self.width, self._copies = len(batch), 1

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(quiet(self._model))
            self._victim = Victim(self._model, fast=self._fast, half=self._half, sample=self._x[:1])
            module = self._victim.light
            if self._skips and module is not None:
                # Nothing in the ball fells these: the figure is the same without attacking them.
                ask = self._victim.confirm
                self.leave(proven(ask, module, self._x, self._y, ball=self.ball, task=self._task))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def x(self) -> Tensor:
        """Clean points of the standing samples."""
        return self._x

    @property
    def y(self) -> Tensor:
        """Targets of the standing samples."""
        return self._y

    def done(self) -> bool:
        """Whether nothing is left to try: all have fallen, or the ball is a point, or no budget."""
        return len(self._rows) == 0 or (self.ball.eps == 0 and self.spent > 0) or self.left == 0

    @property
    def left(self) -> float:
        """How many more points may be asked about for each sample."""
        return inf if self._budget is None else self._budget - self.spent

    def ask(self, points: Tensor) -> Answer:
        """Ask about one point ``(standing, ...)`` of each standing sample.

        Raises:
            HauberkError: if the budget is spent.
        """
        points = self._allowed(points)
        out = self._victim.answer(points)
        keep = self._settle(points, out)
        return Answer(keep, out[keep])

    def climb(self, points: Tensor, objective: Callable[[Tensor, Tensor], Tensor]) -> Slope:
        """Ask, and take the gradient of ``objective(out, y)`` ``(standing,)`` at each point."""
        points, y = self._allowed(points), self._y
        out, gradient = self._victim.climb(points, lambda out: objective(out, y))
        keep = self._settle(points, out)
        return Slope(keep, out[keep], gradient[keep])

    def fan(self, points: Tensor, objectives: Callable[[Tensor, Tensor], Tensor]) -> Slope:
        """Ask, and take a gradient ``(standing, objectives, ...)`` of each of several objectives.

        ``objectives(out, y)`` gives ``(standing, objectives)``.
        """
        points, y = self._allowed(points), self._y
        out, gradients = self._victim.fan(points, lambda out: objectives(out, y))
        keep = self._settle(points, out)
        return Slope(keep, out[keep], gradients[keep])

    def project(self, points: Tensor) -> Tensor:
        """Bring points of the standing samples back into the ball and the bounds."""
        return self.ball.project(points, self._x)

    def start(self, number: int) -> Tensor:
        """A random point of the ball for each standing sample; another for each ``number``."""
        return self.ball.start(self._x, self.uniform(number, prod(self._x.shape[1:]) + 1))

    def uniform(self, number: int, size: int) -> Tensor:
        """Draw ``number``: values in [0, 1) ``(standing, size)`` from each sample's own stream."""
        return torch.from_numpy(self._streams.uniform(number, size)).to(self._x.device)

    def batch(self) -> Batch:
        """The standing samples, clean, as a batch: what a wrapped attack is given."""
        return Batch(x=self._x, y=self._y, index=self._index)

    def spread(self, rows: Tensor, copies: int, *, first: int = 0) -> None:
        """Go over to so many copies of each standing sample at ``rows``, with draws of their own.

        Where one copy falls, all of them leave. ``first`` is the number of the first copy, which
        names its draws. For a copy of a search, which is told by :meth:`adopt` what was found.
        """
        chosen = rows.repeat_interleave(copies)
        self._x, self._y = self._x[chosen], self._y[chosen]
        self._clean, self._best = self._x, self._x.clone()
        self._rows = torch.arange(len(chosen), device=self._x.device)
        self._loss = torch.full((len(chosen),), -inf, device=self._x.device)
        held, self._copies = chosen.cpu().numpy(), copies
        self._index = self._index[held]
        self._streams = self._streams.take(held).fork(first + np.arange(len(held)) % copies)

    def finds(self) -> tuple[Tensor, ...]:
        """The best point of each sample's copies, and how good it is: see :func:`scored`."""
        top = self._loss.view(-1, self._copies).max(1)
        place = torch.arange(len(top.indices), device=top.indices.device)
        return self._best[top.indices + self._copies * place], top.values

    def adopt(self, rows: Tensor, finds: tuple[Tensor, ...]) -> Tensor:
        """Take over finds of the standing samples at ``rows``; which of these have fallen."""
        points, score = finds[:2]
        held = self._rows[rows]
        better = score > self._loss[held]
        self._best[held[better]] = points[better]
        self._loss[held[better]] = score[better]
        return score == inf

    def leave(self, gone: Tensor) -> Tensor:
        """Leave out the samples where ``gone`` ``(standing,)``; the positions of those who stay.

        With a sample all its copies go.
        """
        if self._copies > 1 and bool(gone.any()):
            family = self._rows // self._copies
            lost = torch.zeros(len(self._best), dtype=torch.bool, device=gone.device)
            lost[family[gone]] = True
            gone = lost[family]
        keep = (~gone).nonzero().squeeze(1)
        if len(keep) < len(gone):
            self._narrow(keep)
        return keep

    def result(self) -> Tensor:
        """Points ``(batch, ...)``: adversarial where one was found, else of the highest loss."""
        return self._best.clone()

    def _allowed(self, points: Tensor) -> Tensor:
        """The points that are asked about: those next to ``points`` that keep the constraints."""
        if self.left < 1:
            raise HauberkError(f"an attack asked beyond its {self._budget} queries a sample")
        self.spent += 1
        return self._law(points, self._x) if self._law else points

    def _settle(self, points: Tensor, out: Tensor) -> Tensor:
        """Keep what is best so far, retire the fallen, and say which positions stand."""
        loss = self._task.loss(out, self._y)
        fell = self._wrong(points, out)
        better = fell | (loss > self._loss[self._rows])
        self._best[self._rows[better]] = points[better]
        self._loss[self._rows[better]] = scored(loss, fell)[better]
        return self.leave(fell)

    def _wrong(self, points: Tensor, out: Tensor, where: Tensor | None = None) -> Tensor:
        """Whether the model is wrong on each point, ``(standing,)`` bool, in full precision.

        Only ``where`` that is asked; elsewhere it is false.
        """
        wrong = ~self._task.correct(out, self._y)
        if where is not None:
            wrong &= where
        if self._victim.approximate and bool(wrong.any()):
            sure = self._victim.confirm(points[wrong])
            # One that the model itself gets right was the copy's mistake: it stands.
            wrong[wrong.clone()] = ~self._task.correct(sure, self._y[wrong])
        return wrong

    def _narrow(self, keep: Tensor) -> None:
        self._rows, self._x, self._y = self._rows[keep], self._x[keep], self._y[keep]
        rows = keep.cpu().numpy()
        self._index, self._streams = self._index[rows], self._streams.take(rows)


def scored(loss: Tensor, fell: Tensor) -> Tensor:
    """How good a find each point is: its loss, or infinite where the sample fell."""
    return torch.where(fell, inf, loss.float().clamp_max(torch.finfo(torch.float32).max))


def _check(batch: Batch, bounds: Bounds) -> None:
    n = len(batch)
    if len(batch.x) != n or len(batch.y) != n:
        raise DataError(f"{len(batch.x)} inputs, {len(batch.y)} targets and {n} indices")
    if not batch.x.is_floating_point():
        raise DataError(f"expected floating-point inputs, got {batch.x.dtype}")
    if n and not bool(((batch.x >= bounds.low) & (batch.x <= bounds.high)).all()):
        raise DataError(
            f"inputs outside [{bounds.low:g}, {bounds.high:g}], or NaN",
            hint="scale the data to the model's bounds",
        )
