"""Adversarial training that goes on with the last epoch's perturbations (Zheng et al. 2020, ATTA).

What fools the weights of one epoch nearly fools those of the next: one step from there attacks as
well as several from a random start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.core.errors import UserError
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment

# With weights and moments beside them they still fit into a checkpoint of 2 GiB.
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Atta(Recipe):
    """Minimise the cross-entropy under an attack that takes ``steps`` steps each epoch.

    Each sample's walk goes on from where it ended an epoch ago. Kept is its perturbation as a share
    of eps, two bytes a value; a checkpoint holds it too. ``step_size`` is in the unit of the input,
    two thirds of eps if None. The walks stay within ``stretch`` times eps: what holds against few
    steps in a larger ball holds better against many in the ball.

    Raises:
        UserError: if a number is out of range, or the perturbations take more than 1 GiB.
    """

    name: ClassVar[str] = "atta"
    goes_on: ClassVar[bool] = True

    steps: int = 1
    step_size: float | None = None
    stretch: float = 1.2
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise UserError("steps must be at least 1")
        if not 1 <= self.stretch <= 2:
            raise UserError("stretch must lie in [1, 2]")
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise UserError(f"the step size must be positive, not {self.step_size}")

    def objective(self, given: Given) -> Objective:
        size = 2 / 3 * given.threat.eps if self.step_size is None else self.step_size
        attack = self.inner(given, steps=self.steps, step_size=size)
        wide = replace(given.threat, eps=self.stretch * given.threat.eps)
        attack = replace(attack, threat=wide)
        if 2 * given.train.x.size > _MOST_BYTES:
            raise UserError(
                f"{self.name} would keep {2 * given.train.x.size / 2**30:.1f} GiB of perturbations",
                where="harden",
                hint="method adversarial keeps none",
            )
        kept = torch.zeros(given.train.x.shape, dtype=torch.float16)
        # Whether a sample was attacked before; else its walk starts at a random point.
        known = torch.zeros(len(kept), dtype=torch.bool)

        def perturb(module: nn.Module, x: Tensor, y: Tensor, now: Moment) -> Tensor:
            if now.rows is None:
                raise UserError(f"{self.name} needs the rows of each batch")
            scaled = attack.scaled(self.grown(now.share))
            eps = max(scaled.threat.eps, 1e-9)
            begun = known[now.rows].view(-1, *(1,) * (x.dim() - 1))
            start = torch.where(
                begun, eps * kept[now.rows].float(), scaled.anywhere(x, now.generator)
            )
            worst = scaled(module, x, y, now.generator, start=start)
            kept[now.rows] = ((worst - x) / eps).half()
            known[now.rows] = True
            return worst

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            return self.entropy(self.logits(module, points), y)

        return Objective(
            perturb=perturb,
            loss=loss,
            measure=self.measure(given),
            memory={"perturbations": kept, "known": known},
        )
