"""From rows as they are read, each number scaled to [0, 1], back to the table's own units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hauberk.adapters.models.onnx_quantised import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.features import Column


class OwnUnits(nn.Module):
    """Numbers as the table has them, whole where all of a column are; categories stay one-hot."""

    low: Tensor
    span: Tensor
    whole: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        low, span, whole = [], [], []
        for one in columns:
            number = not one.values
            low += [one.low if number else 0.0] * one.width
            span += [one.span if number else 1.0] * one.width
            whole += [number and one.whole] * one.width
        # In double precision: a large integer would not come back as itself.
        self.register_buffer("low", torch.tensor(low, dtype=torch.float64))
        self.register_buffer("span", torch.tensor(span, dtype=torch.float64))
        self.register_buffer("whole", torch.tensor(whole))

    def forward(self, x: Tensor) -> Tensor:
        """Rows ``(batch, columns)`` in the table's units, float32."""
        own = x.double() * self.span + self.low
        return torch.where(self.whole, rounded(own), own).float()
