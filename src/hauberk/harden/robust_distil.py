"""Robust soft labels: an attacked student learns a robust teacher's answers (Zi et al. 2021).

For a smaller model, such as a twin, that is to inherit robustness rather than to find its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from hauberk.core.errors import UserError
from hauberk.harden.perturb import frozen
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.trades import divergence
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.harden.moment import Moment


@dataclass(frozen=True, kw_only=True)
class RobustDistil(Recipe):
    """Divergence from the teacher's answers on the data, of the student attacked and untouched.

    ``clean_share`` is the weight of the untouched. The attack maximises the divergence too; labels
    are not used. The teacher, robust itself, is the given module where none is named.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "robust-distil"

    teacher: nn.Module | None = None
    steps: int = 5
    step_size: float | None = None
    clean_share: float = 1 / 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or not 0 <= self.clean_share < 1:
            raise UserError("steps must be at least 1, clean_share within [0, 1)")

    def objective(self, given: Given) -> Objective:
        attack = self.inner(given, steps=self.steps, step_size=self.step_size)
        teacher = self.teacher or given.module

        def answers(x: Tensor) -> Tensor:
            with frozen(teacher), torch.no_grad():
                return self.logits(teacher, x).log_softmax(1)

        def perturb(module: nn.Module, x: Tensor, _: Tensor, now: Moment) -> Tensor:
            wanted = answers(x)
            worst = attack.scaled(self.grown(now.share)).ascend(
                module, x, lambda logits: divergence(wanted, logits).sum(), now.generator
            )
            return torch.cat([x, worst])

        def loss(module: nn.Module, points: Tensor, _: Tensor, __: Moment) -> Tensor:
            wanted = answers(points[: len(points) // 2])
            natural, worst = self.logits(module, points).chunk(2)
            apart = divergence(wanted, worst).mean()
            return (1 - self.clean_share) * apart + self.clean_share * divergence(
                wanted, natural
            ).mean()

        return Objective(perturb=perturb, loss=loss, measure=self.measure(given))
