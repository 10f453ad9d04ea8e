"""Total-variation denoising (Chambolle 2004, An algorithm for total variation minimization)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hauberk.core.errors import UserError
from hauberk.core.model import Bounds
from hauberk.guard.pixels import filtered, straight_through

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.pixels import Planes


@dataclass(frozen=True, kw_only=True)
class TotalVariation:
    """The image nearest to the input whose variation is small; ``weight`` is in levels of 255.

    Hygiene and a sensor, not robustness: an attacker who knows it attacks through it. It refuses
    no image. ``budget_ms`` is the time for one image of 3x224x224.

    Raises:
        UserError: if a field is out of range.
    """

    budget_ms: ClassVar[float] = 30.0
    false_refusals: ClassVar[float] = 0.0

    weight: float = 12.0
    steps: int = 10
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if not (0 < self.weight <= 255 and 1 <= self.steps <= 200):
            raise UserError("weight or steps of a total-variation filter is out of range")

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
        """One image's channels, each smoothed alone."""
        return [self._plane(plane.astype(np.float32)) for plane in planes]

    def _plane(self, plane: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Gradient ascent on the dual of one plane; a step of 1/4 converges (section 3)."""
        down: NDArray[Any] = np.zeros_like(plane)
        right: NDArray[Any] = np.zeros_like(plane)
        for _ in range(self.steps):
            residue = _divergence(down, right) - plane / np.float32(self.weight)
            dy, dx = np.zeros_like(plane), np.zeros_like(plane)
            np.subtract(residue[1:], residue[:-1], out=dy[:-1])
            np.subtract(residue[:, 1:], residue[:, :-1], out=dx[:, :-1])
            shrink = 1 + np.float32(0.25) * np.sqrt(dy * dy + dx * dx)
            down = (down + np.float32(0.25) * dy) / shrink
            right = (right + np.float32(0.25) * dx) / shrink
        smooth = plane - np.float32(self.weight) * _divergence(down, right)
        return np.rint(smooth).clip(0, 255).astype(np.uint8)


def _divergence(down: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    out: NDArray[Any] = down + right
    out[1:] -= down[:-1]
    out[:, 1:] -= right[:, :-1]
    return out
