"""Adaptive attack on sensors: fool the model and stay quiet, by gradients through both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

    Answer = Callable[[Tensor], Tensor]


def evade(
    model: Answer,
    score: Answer,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    *,
    task: Task,
    weight: float,
    steps: int = 40,
) -> Tensor:
    """Points ``(n, ...)`` in the L∞ ball that raise the loss and lower ``weight`` x the score.

    Signed gradient steps of 2.5 eps / steps on ``loss - weight x score`` with values in [0, 1];
    of all steps each sample keeps the quietest point that fools the model, or else the last. The
    attacker knows all but the keys: ``score`` is the sensors' surrogate.
    """
    size, best = 2.5 * threat.eps / steps, x.clone()
    quietest = torch.full((len(x),), float("inf"), dtype=x.dtype)
    points = x.clone()
    for step in range(steps + 1):
        leaf = points.detach().requires_grad_()
        out = model(leaf)
        noise = score(leaf)
        with torch.no_grad():
            fooled = ~task.correct(out, y)
            better = fooled & (noise.to(x.dtype) < quietest)
            quietest = torch.where(better, noise.to(x.dtype), quietest)
            shape = (-1,) + (1,) * (x.ndim - 1)
            best = torch.where(better.reshape(shape), points, best)
        if step == steps:
            break
        goal = (task.loss(out, y) - weight * noise).sum()
        (slope,) = torch.autograd.grad(goal, leaf)
        points = points + size * slope.sign()
        points = torch.minimum(torch.maximum(points, x - threat.eps), x + threat.eps).clamp(0, 1)
    never = torch.isinf(quietest).reshape((-1,) + (1,) * (x.ndim - 1))
    return torch.where(never, points, best).detach()
