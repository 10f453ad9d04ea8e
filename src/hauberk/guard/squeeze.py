"""Squeeze: fewer bits a value (Xu et al. 2018, Feature squeezing, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from hauberk.core.errors import UserError
from hauberk.core.model import Bounds
from hauberk.guard.pixels import filtered, straight_through

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.pixels import Planes


@dataclass(frozen=True, kw_only=True)
class Squeeze:
    """Values rounded to ``2**bits`` levels.

    Hygiene and a sensor, not robustness: an attacker who knows it attacks through it. It refuses
    no image. ``budget_ms`` is the time for one image of 3x224x224.

    Raises:
        UserError: if a field is out of range.
    """

    budget_ms: ClassVar[float] = 1.0
    false_refusals: ClassVar[float] = 0.0

    bits: int = 5
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise UserError(f"bits must lie in 1…8, not {self.bits}")

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
        """One image's channels with fewer levels."""
        levels = 2**self.bits - 1
        table = [round(round(value / 255 * levels) * 255 / levels) for value in range(256)]
        array = np.array(table, dtype=np.uint8)
        return [cv2.LUT(plane, array) for plane in planes]
