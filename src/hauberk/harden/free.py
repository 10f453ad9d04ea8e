"""Free training: one gradient trains the weights and moves the attack (Shafahi et al. 2019)."""

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
class Free(Recipe):
    """Take ``replays`` steps on each batch; each step's input gradient moves the perturbation.

    ``epochs`` counts passes over the data, each of ``replays`` steps a batch. The perturbation
    goes on from batch to batch as published, but starts anew with each epoch, so that a run can
    be resumed. Linf alone.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "free"
    lawful: ClassVar[bool] = False

    epochs: int = 12
    replays: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.replays <= 64:
            raise UserError("replays must be 1 to 64")

    def objective(self, given: Given) -> Objective:
        if given.threat.norm != "linf":
            raise UserError("free training is for linf", hint="method adversarial knows l2")
        bounds, most = given.train.bounds, given.threat.eps
        delta = torch.zeros(min(self.batch_size, len(given.train)), *given.train.shape)
        last: list[tuple[int, Tensor]] = []

        def perturb(_: nn.Module, x: Tensor, __: Tensor, now: Moment) -> Tensor:
            eps = self.grown(now.share) * most
            if last and last[0][0] == now.epoch:
                gradient = last[0][1].grad
                assert gradient is not None
                delta[: len(gradient)] += eps * gradient.sign()
            else:
                delta.zero_()
            delta.clamp_(-eps, eps)
            points = (x + delta[: len(x)]).clamp(bounds.low, bounds.high).requires_grad_()
            last[:] = [(now.epoch, points)]
            return points

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            return self.entropy(self.logits(module, points), y)

        return Objective(
            perturb=perturb, loss=loss, measure=self.measure(given), replays=self.replays
        )
