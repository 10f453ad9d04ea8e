"""Defensive distillation (Papernot et al. 2016): a student of the model's own softened answers.

It stops FGSM by making gradients vanish, not by robustness: Carlini and Wagner 2017 broke it. It is
here since it is asked for, and the measure after it says what it is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from hauberk.core.errors import UserError
from hauberk.harden.perturb import frozen
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment


@dataclass(frozen=True, kw_only=True)
class Defensive(Recipe):
    """Cross-entropy at ``temperature`` with the given module's answers at that temperature.

    The student answers at temperature 1 afterwards, so that its logits are that much larger.

    Raises:
        UserError: if the temperature is not positive.
    """

    name: ClassVar[str] = "defensive"

    start: Literal["fresh", "given"] = "fresh"
    epochs: int = 15
    temperature: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"the temperature must be positive, not {self.temperature}")

    def objective(self, given: Given) -> Objective:
        teacher = given.module

        def loss(module: nn.Module, x: Tensor, _: Tensor, __: Moment) -> Tensor:
            with frozen(teacher), torch.no_grad():
                soft = (teacher(x).float() / self.temperature).softmax(1)
            return self.entropy(self.logits(module, x) / self.temperature, soft)

        return Objective(loss=loss, measure=self.measure(given))
