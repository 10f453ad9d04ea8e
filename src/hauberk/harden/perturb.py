"""The attack inside adversarial training: a few steps of PGD from a random start.

Madry et al. 2018, section 2.1. It is kept apart from the attacks that measure: this one is cheap,
runs in half precision and proves nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hauberk.attack.ball import Ball
from hauberk.attack.lawful import Lawful
from hauberk.core.errors import UserError
from hauberk.core.task import Classification
from hauberk.harden.precision import Precision, autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.core.model import Bounds
    from hauberk.core.threat import ThreatModel


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients of parameters, both given back afterwards.

    Batch statistics stay as they are, and half of the backward pass is saved.
    """
    training = module.training
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    module.eval()
    for parameter in wanted:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad = True
        module.train(training)


@dataclass(frozen=True, kw_only=True)
class Perturb:
    """``steps`` steps of length ``step_size`` towards higher loss, from a random start.

    The start is uniform within ``noise`` times eps; without ``clip`` what is found is held to the
    bounds but not to the ball.

    Raises:
        UserError: for a norm other than linf and l2, and for a number out of range.
    """

    threat: ThreatModel
    bounds: Bounds
    steps: int
    step_size: float
    precision: Precision
    noise: float = 1.0
    clip: bool = True

    def __post_init__(self) -> None:
        if self.threat.norm not in {"linf", "l2"}:
            raise UserError(
                f"cannot train against {self.threat.norm}", hint="linf and l2 are supported"
            )
        if self.steps < 1 or not 0 < self.step_size < float("inf"):
            raise UserError("steps must be at least 1 and the step size positive")

    def scaled(self, factor: float) -> Perturb:
        """The same attack with eps and step multiplied by ``factor`` in [0, 1]."""
        if factor == 1.0:
            return self
        threat = replace(self.threat, eps=factor * self.threat.eps)
        return replace(self, threat=threat, step_size=max(factor, 1e-6) * self.step_size)

    def __call__(
        self,
        module: nn.Module,
        x: Tensor,
        y: Tensor,
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
    ) -> Tensor:
        """Points ``(batch, ...)`` within ``eps`` of ``x`` and within ``bounds``.

        ``y`` are labels, or targets ``(batch, classes)``. The walk begins at a random point, or
        ``start`` away from ``x``.
        """
        if y.dim() > 1:
            soft = partial(cross_entropy, target=y, reduction="sum")
            return self.ascend(module, x, soft, generator, start=start)
        task = Classification()
        return self.ascend(
            module, x, lambda logits: task.loss(logits, y).sum(), generator, start=start
        )

    def ascend(
        self,
        module: nn.Module,
        x: Tensor,
        loss: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
    ) -> Tensor:
        """Such points of high ``loss``, a sum over the batch, of float32 logits.

        Rows of a table keep the threat's constraints. The walk itself does not: between the steps
        of a grid, or two categories, it goes on from where it is, by the gradient at the row that
        keeps them.
        """
        lawful = self._lawful(x)
        with frozen(module):
            point = self._project(x, self.anywhere(x, generator) if start is None else start)
            for _ in range(self.steps):
                shown = lawful(point).detach().requires_grad_()
                with autocast(self.precision):
                    logits = module(shown)
                (gradient,) = torch.autograd.grad(loss(logits.float()), shown)
                point = self._project(x, point - x + self.step_size * self._way(gradient))
        return lawful(point)

    def _lawful(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """What makes of a point the row that an attacker may send; nothing without constraints."""
        if self.threat.features is None:
            return lambda point: point
        ball = Ball(self.threat.norm, self.threat.eps, self.bounds)
        laws = Lawful(self.threat.features, ball)
        return lambda point: laws(point, x)

    def anywhere(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A random perturbation to start from, shaped as ``x``."""
        noise = torch.empty(x.shape).uniform_(-1.0, 1.0, generator=generator)
        if self.threat.norm == "l2":
            radius = torch.rand(len(x), generator=generator).view(len(x), *(1,) * (x.dim() - 1))
            noise = noise / _length(noise) * radius
        return self.noise * self.threat.eps * noise

    def _way(self, gradient: Tensor) -> Tensor:
        """The direction of steepest ascent in the norm."""
        return gradient.sign() if self.threat.norm == "linf" else gradient / _length(gradient)

    def _project(self, x: Tensor, moved: Tensor) -> Tensor:
        eps = self.threat.eps
        if not self.clip:
            pass
        elif self.threat.norm == "linf":
            moved = moved.clamp(-eps, eps)
        else:
            moved = moved * (eps / _length(moved)).clamp(max=1.0)
        return (x + moved).clamp(self.bounds.low, self.bounds.high)


def _length(x: Tensor) -> Tensor:
    """Euclidean length of each sample, shaped to divide by; never zero."""
    length: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1).clamp(min=1e-12)
    return length.view(len(x), *(1,) * (x.dim() - 1))
