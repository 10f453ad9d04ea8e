"""JPEG re-encoding (Das et al. 2018, Shield, section 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import cv2

from hauberk.core.errors import DataError, UserError
from hauberk.core.model import Bounds
from hauberk.guard.pixels import filtered, straight_through

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.guard.pixels import Planes


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """Encoded at ``quality`` and decoded again.

    Hygiene and a sensor, not robustness: an attacker who knows it attacks through it. It refuses
    no image. ``budget_ms`` is the time for one image of 3x224x224.

    Raises:
        UserError: if a field is out of range.
    """

    budget_ms: ClassVar[float] = 2.0
    false_refusals: ClassVar[float] = 0.0

    quality: int = 75
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UserError(f"quality must lie in 1…100, not {self.quality}")

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
        """One image's channels, encoded together and decoded.

        Raises:
            DataError: if that fails.
        """
        done, coded = cv2.imencode(
            ".jpg", cv2.merge(planes), [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        )
        if not done:
            raise DataError("an image cannot be encoded", where="jpeg")
        colour = cv2.IMREAD_COLOR if len(planes) == 3 else cv2.IMREAD_GRAYSCALE
        out = cv2.imdecode(coded, colour)
        if out is None:
            raise DataError("an image cannot be decoded", where="jpeg")
        return list(cv2.split(out))
