"""Catastrophic overfitting of one-step training, noticed and undone.

Within a few hundred steps a network can learn to fool the one step it is trained against: its loss
goes on falling while accuracy under a real attack falls to nothing (Wong et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from hauberk.harden.recipe import Given
    from hauberk.harden.training import Objective


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """Measure each epoch under several steps; a fall below ``share`` of the best is a collapse.

    A fall of less than ``least`` is noise: early on there is next to nothing to fall from.
    Then the weights go back to those of the last sound epoch, the optimizer starts anew, and
    training goes on at the next level, with twice the steps of attack.

    Raises:
        UserError: if ``share`` is not within (0, 1).
    """

    share: float = 0.7
    least: float = 0.04

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or not 0 <= self.least < 1:
            raise UserError("share must lie within (0, 1), least within [0, 1)")

    def join(self, objective: Objective, _: Given) -> Objective:
        return replace(objective, collapse=self)

    def noticed(self, robust: float, best: float) -> bool:
        """Whether ``robust`` accuracy has collapsed from the ``best`` so far."""
        return robust < self.share * best and best - robust >= self.least
