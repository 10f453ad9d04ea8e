"""Attributions from answers to an input whose parts were masked at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hauberk.core.errors import UserError
from hauberk.explain.grid import parts

if TYPE_CHECKING:
    from captum.attr import Lime
    from torch import Tensor, nn

_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Maskings:
    """``samples`` maskings of ``side`` x ``side`` blocks of an image.

    Raises:
        UserError: if there are fewer than 10 samples, or no blocks.
    """

    samples: int = 200
    side: int = 7

    def __post_init__(self) -> None:
        if self.samples < 10 or self.side < 1:
            raise UserError("samples must be at least 10 and side at least 1")

    def fitted(
        self, kind: type[Lime], module: nn.Module, x: Tensor, target: int, *, seed: int
    ) -> tuple[Tensor, Tensor]:
        """What a regression of ``kind`` gives each value of ``x`` ``(1, ...)``, and its block."""
        mask = parts(x, self.side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            values: Tensor = kind(module).attribute(
                x.detach().clone(),
                target=target,
                feature_mask=mask,
                n_samples=self.samples,
                perturbations_per_eval=_AT_ONCE,
            )
        return values, mask
