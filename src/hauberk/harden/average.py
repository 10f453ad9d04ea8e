"""Averaged weights: flatter minima, and better under attack than any single epoch's.

Exponential: Tarvainen and Valpola 2017; plain, over the last epochs: Izmailov et al. 2018 (SWA);
both for adversarial training: Gowal et al. 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import torch

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.recipe import Given
    from hauberk.harden.training import Objective

    Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Average:
    """``ema``: after each step, the average keeps ``decay`` of itself, less in the first steps.

    ``swa``: the plain mean over the ends of the epochs after ``start`` of the training. Until
    there is an average, the weights stand for it.

    Raises:
        UserError: if the kind is unknown or a number is not within (0, 1).
    """

    kind: Literal["ema", "swa"] = "ema"
    decay: float = 0.998
    start: float = 0.75

    def __post_init__(self) -> None:
        if self.kind not in get_args(Literal["ema", "swa"]):
            raise UserError(f"unknown average {self.kind!r}", hint="ema or swa")
        if not 0 < self.decay < 1 or not 0 < self.start < 1:
            raise UserError("decay and start must lie within (0, 1)")

    def join(self, objective: Objective, _: Given) -> Objective:
        return replace(objective, average=self)

    def step(self, kept: Weights, module: nn.Module, steps: int) -> None:
        """Move the average after that many steps, in place."""
        if self.kind == "ema":
            self._move(kept, module, 1 - min(self.decay, (1 + steps) / (10 + steps)))

    def epoch(self, kept: Weights, module: nn.Module, epoch: int, epochs: int) -> None:
        """Move the average at the end of that epoch, counted from 1."""
        if self.kind == "swa":
            before = max(0, epoch - 1 - int(self.start * epochs))
            self._move(kept, module, 1 / (before + 1))

    def _move(self, kept: Weights, module: nn.Module, share: float) -> None:
        now = module.state_dict()
        with torch.no_grad():
            real = [name for name, value in now.items() if value.is_floating_point()]
            torch._foreach_lerp_([kept[name] for name in real], [now[name] for name in real], share)
            for name in now.keys() - set(real):
                kept[name].copy_(now[name])


@dataclass(frozen=True, kw_only=True)
class StochasticWeights(Average):
    """The plain mean over the last epochs."""

    kind: Literal["ema", "swa"] = "swa"
