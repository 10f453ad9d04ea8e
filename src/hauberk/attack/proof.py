"""Samples that no attack can fell, by interval bounds: they need not be attacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from hauberk.attack.interval_bounds import intervals, steps_of
from hauberk.core.errors import UserError
from hauberk.core.task import Classification

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hauberk.attack.ball import Ball
    from hauberk.core.task import Task

# The bounds are worked out in float64, the model answers in float32: its rounding stays below this.
_SURE = 1e-3
_LOOKED_AT = 8


def proven(
    answer: Callable[[Tensor], Tensor],
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    ball: Ball,
    task: Task,
) -> Tensor:
    """Whether the largest logit is the label's at every point of each ball, ``(batch,)`` bool.

    ``module`` is the network behind the model's ``answer``. False wherever that cannot be proven:
    in another norm than ``linf``, for another task than classification, for a network without
    known bounds, and for one that does not answer as its steps do. The last linear layer is
    bounded together with the differences of logits that it feeds.
    """
    nothing = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if ball.norm != "linf" or not isinstance(task, Classification) or len(x) == 0:
        return nothing
    if any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()):
        return nothing
    try:
        steps = steps_of(module)
    except UserError:
        return nothing
    last = next((step for step in reversed(steps.steps) if step.name == steps.output), None)
    if last is None or not isinstance(last.do, nn.Linear):
        return nothing
    few = x[:_LOOKED_AT]
    seen = intervals(steps, few.double(), few.double())[steps.output][0]
    if not torch.allclose(seen.float(), answer(few).float(), rtol=1e-3, atol=1e-3):
        return nothing
    low = (x.double() - ball.eps).clamp_min(ball.bounds.low)
    high = (x.double() + ball.eps).clamp_max(ball.bounds.high)
    low, high = intervals(steps, low, high)[last.inputs[0]]
    with torch.no_grad():
        rows = last.do.weight[y][:, None] - last.do.weight
        lead = torch.einsum("bkd,bd->bk", rows, (low + high) / 2)
        lead = lead - torch.einsum("bkd,bd->bk", rows.abs(), (high - low) / 2)
        if last.do.bias is not None:
            lead = lead + last.do.bias[y][:, None] - last.do.bias
        return (lead.scatter(1, y[:, None], torch.inf) > _SURE).all(1)
