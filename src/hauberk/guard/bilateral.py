"""Bilateral smoothing, which keeps edges (Tomasi and Manduchi 1998)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import cv2

from hauberk.core.errors import UserError
from hauberk.core.model import Bounds
from hauberk.guard.pixels import filtered, straight_through

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.guard.pixels import Planes


@dataclass(frozen=True, kw_only=True)
class Bilateral:
    """Means over ``size`` values across, weighted by distance and by likeness.

    ``spread`` is the likeness' scale in levels of 255, ``reach`` the distance's in pixels.

    Hygiene and a sensor, not robustness: an attacker who knows it attacks through it. It refuses
    no image. ``budget_ms`` is the time for one image of 3x224x224.

    Raises:
        UserError: if a field is out of range.
    """

    budget_ms: ClassVar[float] = 2.0
    false_refusals: ClassVar[float] = 0.0

    size: int = 5
    spread: float = 25.0
    reach: float = 2.0
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not (1 <= self.size <= 15 and 0 < self.spread <= 255 and 0 < self.reach <= 64):
            raise UserError("size, spread or reach of a bilateral filter is out of range")

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
        """One image's channels, smoothed together but for edges."""
        out = cv2.bilateralFilter(cv2.merge(planes), self.size, self.spread, self.reach)
        return list(cv2.split(out))
