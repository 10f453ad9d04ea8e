"""Median smoothing (Xu et al. 2018, Feature squeezing, section 3.2)."""

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

_WIDE = 96  # narrower images are filtered value by value: 64x64 takes twenty times as long


@dataclass(frozen=True, kw_only=True)
class Median:
    """Each value replaced by the median of a ``size`` by ``size`` window.

    Hygiene and a sensor, not robustness: an attacker who knows it attacks through it. It refuses
    no image. ``budget_ms`` is the time for one image of 3x224x224.

    Raises:
        UserError: if a field is out of range.
    """

    budget_ms: ClassVar[float] = 1.0
    false_refusals: ClassVar[float] = 0.0

    size: int = 3
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if self.size not in (3, 5, 7):
            raise UserError(f"size must be 3, 5 or 7, not {self.size}")

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
        """One image's channels, smoothed."""
        return [_smoothed(plane, self.size) for plane in planes]


def _smoothed(plane: Any, size: int) -> Any:
    """A channel, smoothed; its edges repeat outwards, as the library has it."""
    width = plane.shape[1]
    if width >= _WIDE:
        return cv2.medianBlur(plane, size)
    wide = cv2.copyMakeBorder(plane, 0, 0, 0, _WIDE - width, cv2.BORDER_REPLICATE)
    return cv2.medianBlur(wide, size)[:, :width]
