"""MART: press hardest on the samples that are wrong already (Wang et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn.functional import one_hot

from hauberk.harden.trades import Trades, divergence
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment
    from hauberk.harden.recipe import Given


@dataclass(frozen=True, kw_only=True)
class Mart(Trades):
    """A margin-aware loss under attack, plus a divergence that counts more the less sure it is.

    The first term is cross-entropy plus ``-log(1 - p)`` of the best wrong class; the second is
    ``beta`` times the divergence of the attacked answer, weighted by one less the clean
    probability of the label.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "mart"

    beta: float = 5.0

    def objective(self, given: Given) -> Objective:
        attack = self.inner(given, steps=self.steps, step_size=self.step_size)
        classes = given.train.classes

        def perturb(module: nn.Module, x: Tensor, y: Tensor, now: Moment) -> Tensor:
            worst = attack.scaled(self.grown(now.share))(module, x, y, now.generator)
            return torch.cat([x, worst])

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            natural, worst = self.logits(module, points).chunk(2)
            targets = one_hot(y, classes).float() if y.dim() == 1 else y
            wrong = worst.softmax(1) * (targets < targets.amax(1, keepdim=True))
            margin = -torch.log1p(-wrong.amax(1).clamp(max=1 - 1e-6)).mean()
            sure = (natural.softmax(1) * targets).sum(1)
            apart = divergence(natural.log_softmax(1), worst)
            return self.entropy(worst, y) + margin + self.beta * (apart * (1 - sure)).mean()

        return Objective(perturb=perturb, loss=loss, measure=self.measure(given))
