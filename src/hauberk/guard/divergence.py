"""Twin divergence as a sensor beside others, in either direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hauberk.guard.twin import TwinDivergence, apart, both

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Arrays, View


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """KL(twin ‖ served), in nats; ``backwards`` KL(served ‖ twin).

    Forwards it is large where the served model denies what the twin holds likely, backwards where
    it is sure of what the twin denies.
    """

    budget_ms: ClassVar[float] = 0.1
    passes: ClassVar[int] = 0

    backwards: bool = False
    divergence: TwinDivergence = field(default_factory=TwinDivergence)

    def score(self, view: View) -> NDArray[np.float64]:
        """See :class:`hauberk.guard.sensor.Sensor`."""
        temperature = self.divergence.temperature
        plain = temperature == 1.0
        one, two = view.logarithms if plain else both(view.primary, view.twin, temperature)
        return apart(two, one) if self.backwards else apart(one, two)

    def surrogate(self, view: View) -> Any:
        """The same on tensors."""
        served = (view.primary / self.divergence.temperature).log_softmax(1)
        twin = (view.twin / self.divergence.temperature).log_softmax(1)
        a, b = (served, twin) if self.backwards else (twin, served)
        return (a.exp() * (a - b)).sum(1)

    def parts(self) -> Arrays:
        """Its direction and temperature."""
        facts = [float(self.backwards), self.divergence.temperature]
        return {"facts": np.array(facts)}

    @classmethod
    def of(cls, parts: Arrays) -> Self:
        """The sensor of its parts."""
        backwards, temperature = parts["facts"].tolist()
        return cls(
            backwards=bool(backwards), divergence=TwinDivergence(temperature=float(temperature))
        )


@dataclass(frozen=True, kw_only=True)
class Backwards(Divergence):
    """:class:`Divergence` the other way round."""

    backwards: bool = True
