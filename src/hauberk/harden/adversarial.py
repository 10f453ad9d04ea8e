"""Adversarial training: learn on the worst points near the data (Madry et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.core.errors import UserError
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment


@dataclass(frozen=True, kw_only=True)
class Adversarial(Recipe):
    """Minimise the mean cross-entropy under an attack of ``steps`` steps within the threat.

    ``step_size`` is in the unit of the input, a third of eps if None. ``clean_share`` in [0, 1) is
    the weight of the untouched batch in the loss.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "adversarial"

    steps: int = 5
    step_size: float | None = None
    clean_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise UserError("steps must be at least 1")
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise UserError(f"the step size must be positive, not {self.step_size}")
        if not 0 <= self.clean_share < 1:
            raise UserError("clean_share must lie in [0, 1)")

    def objective(self, given: Given) -> Objective:
        attack = self.inner(given, steps=self.steps, step_size=self.step_size)

        def perturb(module: nn.Module, x: Tensor, y: Tensor, now: Moment) -> Tensor:
            worst = attack.scaled(self.grown(now.share))(module, x, y, now.generator)
            return torch.cat([worst, x]) if self.clean_share else worst

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            logits = self.logits(module, points)
            value = self.entropy(logits[: len(y)], y)
            if not self.clean_share:
                return value
            natural = self.entropy(logits[len(y) :], y)
            return (1 - self.clean_share) * value + self.clean_share * natural

        return Objective(perturb=perturb, loss=loss, measure=self.measure(given))
