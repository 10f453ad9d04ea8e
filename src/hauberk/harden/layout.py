"""The same function in the arrangement that a processor is quickest at."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


def arranged(module: nn.Module, *, images: bool) -> nn.Module:
    """A copy of ``module``: channels last for ``images``, ReLU after max pooling and flattening.

    The largest of some values after ReLU is ReLU of the largest: the outputs are the same, bit for
    bit, the work on the larger maps is saved, and parameters keep their names. After flattening,
    the gradient that comes back to ReLU lies in memory as its output does: in two layouts, its
    backward pass took ten times as long.
    """
    module = deepcopy(module)
    for part in module.modules():
        if isinstance(part, nn.Sequential):
            for place in range(len(part) - 1):
                now, then = part[place], part[place + 1]
                if isinstance(now, nn.ReLU) and isinstance(then, nn.MaxPool2d | nn.Flatten):
                    part[place], part[place + 1] = then, now
    if images:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs
    return module
