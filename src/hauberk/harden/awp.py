"""Adversarial weight perturbation: descend from the worst weights near by (Wu et al. 2020)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from hauberk.harden.recipe import Given
    from hauberk.harden.training import Objective


@dataclass(frozen=True, kw_only=True)
class AWP:
    """Before each step's gradient, move every weight matrix by ``gamma`` of its length uphill.

    It begins after ``warmup`` of the training: weights that know nothing have no worst side.
    It costs one more pass per step.

    Raises:
        UserError: if a number is out of range.
    """

    gamma: float = 5e-3
    warmup: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.gamma < 1 or not 0 <= self.warmup < 1:
            raise UserError("gamma must lie within (0, 1), warmup within [0, 1)")

    def join(self, objective: Objective, _: Given) -> Objective:
        return replace(objective, awp=self)

    @contextmanager
    def pressed(self, module: nn.Module, loss: Callable[[], Tensor]) -> Iterator[None]:
        """Within, the weights are the worst near by; afterwards what they were, bit for bit."""
        weights = [one for one in module.parameters() if one.requires_grad and one.dim() > 1]
        before = [one.detach().clone() for one in weights]
        for one, way in zip(weights, torch.autograd.grad(loss(), weights), strict=True):
            with torch.no_grad():
                one.add_(way, alpha=float(self.gamma * one.norm() / (way.norm() + 1e-12)))
        try:
            yield
        finally:
            with torch.no_grad():
                for one, was in zip(weights, before, strict=True):
                    one.copy_(was)
