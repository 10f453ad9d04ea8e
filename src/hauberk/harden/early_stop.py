"""Early stopping on held-out accuracy under attack (Rice et al. 2020).

The best epoch's weights are kept in any case; this saves the time after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from hauberk.harden.recipe import Given
    from hauberk.harden.training import Objective


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """End the training once ``patience`` measured epochs in a row were no better than the best.

    Epochs count from ``after`` of the training on: before, eps and the learning rate still grow.

    Raises:
        UserError: if a number is out of range.
    """

    patience: int = 4
    after: float = 0.4

    def __post_init__(self) -> None:
        if self.patience < 1 or not 0 <= self.after < 1:
            raise UserError("patience must be at least 1, after within [0, 1)")

    def join(self, objective: Objective, _: Given) -> Objective:
        return replace(objective, early_stop=self)

    def over(self, stale: int) -> bool:
        """Whether that many measured epochs without a gain end the training."""
        return stale >= self.patience
