"""Learn from the answers of a teacher, softened (Hinton et al. 2015; Goldblum et al. 2020).

Joined to adversarial training the student answers an attacked input as the teacher answers the
untouched one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

from hauberk.core.errors import UserError
from hauberk.harden.perturb import frozen

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.harden.moment import Moment
    from hauberk.harden.recipe import Given
    from hauberk.harden.training import Objective


@dataclass(frozen=True, kw_only=True)
class Distil:
    """Targets are ``weight`` parts the teacher's softmax at ``temperature``, the rest the labels.

    The teacher is the given module where none is named.

    Raises:
        UserError: if a number is out of range.
    """

    teacher: nn.Module | None = None
    temperature: float = 4.0
    weight: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf") or not 0 < self.weight <= 1:
            raise UserError("temperature must be positive, weight within (0, 1]")

    def join(self, objective: Objective, given: Given) -> Objective:
        teacher, classes = self.teacher or given.module, given.train.classes

        def soften(_: nn.Module, x: Tensor, y: Tensor, __: Moment) -> tuple[Tensor, Tensor]:
            targets = one_hot(y, classes).float() if y.dim() == 1 else y
            with frozen(teacher), torch.no_grad():
                soft = (teacher(x).float() / self.temperature).softmax(1)
            return x, (1 - self.weight) * targets + self.weight * soft

        return replace(objective, transforms=(*objective.transforms, soften))
