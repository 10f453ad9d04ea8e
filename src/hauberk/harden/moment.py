"""Where a training is when it takes a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Moment:
    """The ``share`` of all batches that is done, and the randomness to use.

    ``rows`` are the batch's places in the training data; ``epoch`` and ``replay``, the steps on the
    same batch, count from 0; ``level`` counts how often a collapse was undone.
    """

    share: float
    generator: torch.Generator
    rows: Tensor | None = None
    epoch: int = 0
    replay: int = 0
    level: int = 0
