"""Requantise: values put back onto the 256 levels that a real image has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hauberk.core.model import Bounds
from hauberk.guard.pixels import filtered, straight_through

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.guard.pixels import Planes


@dataclass(frozen=True, kw_only=True)
class Requantise:
    """What lies between two levels, where an attacker may hide, is rounded away.

    Hygiene and a sensor, not robustness: an attacker who knows it attacks through it. It refuses
    no image. ``budget_ms`` is the time for one image of 3x224x224.
    """

    budget_ms: ClassVar[float] = 1.0
    false_refusals: ClassVar[float] = 0.0

    bounds: Bounds = field(default_factory=Bounds)

    def inspect(self, x: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cleaned images ``(n, channels, height, width)`` and how far each moved, ``(n,)``.

        Raises:
            DataError: if they are no images of 1 or 3 channels.
        """
        return filtered(x, self.bounds, self.on_bytes)

    def surrogate(self, x: Any) -> Any:
        """The same on a torch tensor, with a gradient."""
        return straight_through(self.inspect, x)

    def on_bytes(self, planes: Planes) -> Planes:
        """One image's channels as they are: bytes hold no more than levels."""
        return planes
