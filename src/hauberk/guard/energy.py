"""Energy: how little the served model is moved by the input (Liu et al. 2020, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hauberk.core.errors import UserError
from hauberk.guard.sensor import finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Arrays, View


@dataclass(frozen=True, kw_only=True)
class Energy:
    """``-T logsumexp(logits / T)`` of the served model: high where no class is supported.

    Alone it calls the strongest attacks the most normal inputs; it earns its place beside others.

    Raises:
        UserError: if ``temperature`` is not positive and finite.
    """

    budget_ms: ClassVar[float] = 0.05
    passes: ClassVar[int] = 0

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise UserError(f"temperature must be positive and finite, not {self.temperature}")

    def score(self, view: View) -> NDArray[np.float64]:
        """See :class:`hauberk.guard.sensor.Sensor`."""
        scaled = view.primary.astype(np.float64) / self.temperature
        top = np.maximum.reduce(scaled, axis=1)
        total = top + np.log(np.add.reduce(np.exp(scaled - top[:, None]), axis=1))
        return finite(-self.temperature * total, "energy")

    def surrogate(self, view: View) -> Any:
        """The same on tensors."""
        return -self.temperature * (view.primary / self.temperature).logsumexp(1)

    def parts(self) -> Arrays:
        """Its temperature."""
        return {"temperature": np.array([self.temperature])}

    @classmethod
    def of(cls, parts: Arrays) -> Self:
        """The sensor of its parts."""
        return cls(temperature=float(parts["temperature"][0]))
