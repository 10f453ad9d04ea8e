"""A function of a fixed number of rows, asked as often as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def by_fixed(call: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """Answers to ``x`` ``(batch, ...)`` of a function of ``size`` rows, the last time on zeros too.

    A function of one row is mapped over the batch.
    """
    if size == 1 and len(x):
        if len(x) == 1:
            return call(x)
        return torch.func.vmap(lambda one: call(one[None])[0])(x)
    missing = max(size - len(x), -len(x) % size)
    whole = torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x
    return torch.cat([call(part) for part in torch.split(whole, size)])[: len(x)]
