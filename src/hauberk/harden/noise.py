"""Training under Gaussian noise, for certificates by randomised smoothing (Cohen et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from hauberk.core.errors import UserError
from hauberk.harden import training
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment


@dataclass(frozen=True, kw_only=True)
class Noise(Recipe):
    """Cross-entropy on inputs with noise of deviation ``sigma``, not held to the bounds.

    What is kept is measured under noise: the answer of a smoothed model is that of most noisy
    copies.

    Raises:
        UserError: if sigma is not positive.
    """

    name: ClassVar[str] = "noise"
    lawful: ClassVar[bool] = False

    epochs: int = 20
    sigma: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sigma < float("inf"):
            raise UserError(f"sigma must be positive, not {self.sigma}")

    def objective(self, given: Given) -> training.Objective:
        def perturb(_: nn.Module, x: Tensor, __: Tensor, now: Moment) -> Tensor:
            return self._noisy(x, now.generator)

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            return self.entropy(self.logits(module, points), y)

        return training.Objective(perturb=perturb, loss=loss, measure=self.measure(given))

    def measure(self, given: Given) -> training.Measure:
        def measure(module: nn.Module) -> Score:
            noise = torch.Generator().manual_seed(0)
            noisy = accuracy(
                module, given.validation, attack=lambda _, x, __: self._noisy(x, noise)
            )
            return Score(clean=accuracy(module, given.validation), robust=noisy)

        return measure

    def _noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + self.sigma * torch.randn(x.shape, generator=generator)
