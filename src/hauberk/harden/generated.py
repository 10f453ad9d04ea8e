"""Training on a set of adversarial examples that is made once, as published pipelines do.

What is made against the given weights does not move with the new ones: it is cheap, and weaker
than an attack made anew in each step. Measured, not assumed: see the benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.core.errors import UserError
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment
    from hauberk.harden.recipe import Given


@dataclass(frozen=True, kw_only=True)
class Generated(Adversarial):
    """Attack all training data once, with the given weights, and train on what came out.

    ``clean_share`` is the weight of the untouched samples. A resumed run makes the same set again.
    """

    name: ClassVar[str] = "generated"

    clean_share: float = 0.5
    steps: int = 20

    def objective(self, given: Given) -> Objective:
        frame = super().objective(given)
        attack = self.inner(given, steps=self.steps, step_size=self.step_size)
        generator = torch.Generator().manual_seed(0)
        batches = given.train.batches(self.batch_size)
        made = torch.cat(
            [
                attack(given.module, torch.from_numpy(x), torch.from_numpy(y), generator)
                for x, y in batches
            ]
        )

        def perturb(_: nn.Module, x: Tensor, __: Tensor, now: Moment) -> Tensor:
            if now.rows is None:
                raise UserError("a generated set needs the rows of each batch")
            worst = made[now.rows]
            return torch.cat([worst, x]) if self.clean_share else worst

        return Objective(perturb=perturb, loss=frame.loss, measure=frame.measure)
