"""Margin: how near the served model is to changing its mind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hauberk.guard.sensor import finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Arrays, View


@dataclass(frozen=True, kw_only=True)
class Margin:
    """Second largest logit of the served model less the largest: near 0 at the boundary.

    An attack that stops as soon as the label flips ends here, and so does many an ambiguous input
    that no one touched.
    """

    budget_ms: ClassVar[float] = 0.05
    passes: ClassVar[int] = 0

    def score(self, view: View) -> NDArray[np.float64]:
        """See :class:`hauberk.guard.sensor.Sensor`."""
        two = np.partition(view.primary.astype(np.float64), -2, axis=1)[:, -2:]
        return finite(two[:, 0] - two[:, 1], "margin")

    def surrogate(self, view: View) -> Any:
        """The same on tensors."""
        two = view.primary.topk(2, 1).values
        return two[:, 1] - two[:, 0]

    def parts(self) -> Arrays:
        """It remembers nothing."""
        return {}

    @classmethod
    def of(cls, parts: Arrays) -> Self:
        """The sensor of its parts."""
        return cls()
