"""Grid: an input cut into parts that are kept or dropped together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def parts(x: Tensor, side: int) -> Tensor:
    """The part that each value of ``x`` ``(1, ...)`` belongs to: ``side`` x ``side`` blocks.

    All channels of a pixel belong together; values of a vector are each a part of their own.
    """
    if x.ndim != 4:
        return torch.arange(x[0].numel()).reshape(x.shape)
    rows = torch.arange(x.shape[2]) * side // x.shape[2]
    columns = torch.arange(x.shape[3]) * side // x.shape[3]
    blocks = rows[:, None] * side + columns[None, :]
    _, dense = torch.unique(blocks, return_inverse=True)
    whole: Tensor = dense.expand(x.shape)
    return whole
