"""Samples that no attack can fell, by interval bounds: they need not be attacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from hauberk.attack.interval_bounds import intervals, steps_of
from hauberk.core.errors import UserError
from hauberk.core.task import Classification

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hauberk.attack.ball import Ball
    from hauberk.attack.interval_bounds import Step, Steps
    from hauberk.core.task import Task

# The bounds are worked out in float64, the model answers in float32: its rounding stays below this.
_SURE = 1e-3
_LOOKED_AT = 8
_AT_ONCE = 128
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")  # what they do is not among the steps


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
    if any(vars(part)[name] for part in module.modules() for name in _HOOKS):
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
    parts = zip(torch.split(x, _AT_ONCE), torch.split(y, _AT_ONCE), strict=True)
    return torch.cat([_leads(steps, last, *part, ball) > _SURE for part in parts])


def _leads(steps: Steps, last: Step, x: Tensor, y: Tensor, ball: Ball) -> Tensor:
    """The least lead ``(batch,)`` of the label's logit over any other's in each ball."""
    low = (x.double() - ball.eps).clamp_min(ball.bounds.low)
    high = (x.double() + ball.eps).clamp_max(ball.bounds.high)
    low, high = intervals(steps, low, high)[last.inputs[0]]
    layer = cast("nn.Linear", last.do)
    with torch.no_grad():
        rows = layer.weight[y][:, None] - layer.weight
        lead = torch.einsum("bkd,bd->bk", rows, (low + high) / 2)
        lead = lead - torch.einsum("bkd,bd->bk", rows.abs(), (high - low) / 2)
        if layer.bias is not None:
            lead = lead + layer.bias[y][:, None] - layer.bias
        return lead.scatter(1, y[:, None], torch.inf).amin(1)
