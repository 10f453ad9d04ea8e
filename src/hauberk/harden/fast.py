"""Training against one step: a tenth of the price, if its one way to fail is watched.

FGSM from a random start: Wong et al. 2020. More noise and no projection, which fails later:
de Jorge et al. 2022 (N-FGSM).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from hauberk.core.errors import UserError
from hauberk.harden.collapse import Collapse
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.training import Objective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment
    from hauberk.harden.perturb import Perturb


@dataclass(frozen=True, kw_only=True)
class Fast(Recipe):
    """Minimise the cross-entropy after one step of ``step`` times eps from a random start.

    The start lies within ``noise`` times eps; ``clip`` projects the end into the ball. Each
    collapse that is undone doubles the steps (:class:`hauberk.harden.collapse.Collapse`); without
    ``guard`` none is looked for.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "fast"

    step: float = 1.25
    noise: float = 1.0
    clip: bool = True
    guard: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.step < float("inf") or not 0 <= self.noise < float("inf"):
            raise UserError("step must be positive, noise at least 0")

    def objective(self, given: Given) -> Objective:
        size = self.step * given.threat.eps
        once = replace(self.inner(given, steps=1, step_size=size), noise=self.noise, clip=self.clip)

        def perturb(module: nn.Module, x: Tensor, y: Tensor, now: Moment) -> Tensor:
            attack = self._at(once, now.level).scaled(self.grown(now.share))
            return attack(module, x, y, now.generator)

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            return self.entropy(self.logits(module, points), y)

        return Objective(
            perturb=perturb,
            loss=loss,
            measure=self.measure(given),
            collapse=Collapse() if self.guard else None,
        )

    def _at(self, once: Perturb, level: int) -> Perturb:
        """One step, or after collapses PGD with twice the steps for each."""
        if level == 0:
            return once
        steps = 2**level
        size = 2.5 * once.threat.eps / steps
        return replace(once, steps=steps, step_size=size, noise=1.0, clip=True)


@dataclass(frozen=True, kw_only=True)
class NoisyFast(Fast):
    """N-FGSM: a start within twice eps, a step of eps, no projection."""

    name: ClassVar[str] = "n-fgsm"

    step: float = 1.0
    noise: float = 2.0
    clip: bool = False
