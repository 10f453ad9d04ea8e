"""TRADES: stay right on the data, and answer alike around it (Zhang et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn.functional import kl_div

from hauberk.core.errors import UserError
from hauberk.harden.perturb import frozen
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment


@dataclass(frozen=True, kw_only=True)
class Trades(Recipe):
    """Cross-entropy on the data plus ``beta`` times the divergence to the worst answers near by.

    The attack maximises that divergence from the clean answers, not the loss: it needs no labels.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "trades"

    beta: float = 6.0
    steps: int = 5
    step_size: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or not 0 < self.beta < float("inf"):
            raise UserError("steps must be at least 1, beta positive")

    def objective(self, given: Given) -> Objective:
        attack = self.inner(given, steps=self.steps, step_size=self.step_size)

        def perturb(module: nn.Module, x: Tensor, _: Tensor, now: Moment) -> Tensor:
            with frozen(module), torch.no_grad():
                natural = self.logits(module, x).log_softmax(1)
            worst = attack.scaled(self.grown(now.share)).ascend(
                module, x, lambda logits: divergence(natural, logits).sum(), now.generator
            )
            return torch.cat([x, worst])

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            natural, worst = self.logits(module, points).chunk(2)
            apart = divergence(natural.log_softmax(1), worst).mean()
            return self.entropy(natural, y) + self.beta * apart

        return Objective(perturb=perturb, loss=loss, measure=self.measure(given))


def divergence(natural: Tensor, logits: Tensor) -> Tensor:
    """Kullback-Leibler divergence ``(batch,)`` of answers from log-probabilities, in nats."""
    return kl_div(logits.log_softmax(1), natural, reduction="none", log_target=True).sum(1)
