"""Total-variation denoising (Chambolle 2004, An algorithm for total variation minimization)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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


_STEP = 0.25
_BAND = 128
_LARGE = 2**18


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
        """One image's channels, each smoothed alone; large ones side by side."""
        threads = min(len(planes), cv2.getNumThreads()) if planes[0].size >= _LARGE else 1
        if threads == 1:
            return [self._plane(plane) for plane in planes]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._plane, planes))

    def _plane(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A plane, smoothed band by band, so that what is worked on stays in the cache."""
        height, width = plane.shape
        out = np.empty_like(plane)
        work = np.empty((7, min(height, _BAND + 2 * self.steps + 2), width), np.float32)
        for top in range(0, height, _BAND):
            self._band(plane, out, top, work)
        return out

    def _band(
        self,
        plane: NDArray[np.uint8],
        out: NDArray[np.uint8],
        top: int,
        work: NDArray[np.float32],
    ) -> None:
        """Gradient ascent on the dual, exact in the rows of one band of ``out``.

        A step of 1/4 converges (section 3). A row depends on one more above and below it with each
        step, so of those around the band fewer and fewer are worked on. ``down`` and ``right`` are
        the dual times the step, ``aim`` the image in the same unit.
        """
        height, size = len(plane), min(_BAND, len(plane) - top)
        first = max(0, top - self.steps - 1)
        rows = min(height, top + size + self.steps) - first
        aim, down, right, rest, dy, dx, norm = work[:, :rows]
        np.multiply(plane[first : first + rows], np.float32(_STEP / self.weight), out=aim)
        down.fill(0)
        right.fill(0)
        dx[:, -1] = 0
        for left in range(self.steps - 1, -1, -1):
            low = max(0, top - left - 1 - first)
            high = min(rows, top + size + left - first)
            below = min(rows, high + 1)
            _divergence(down, right, low, below, out=rest)
            rest[low:below] -= aim[low:below]
            a, b, n = dy[low:high], dx[low:high], norm[low:high]
            if below == high:  # the image ends here
                a[-1] = 0
            np.subtract(rest[low + 1 : below], rest[low : below - 1], out=a[: below - 1 - low])
            np.subtract(rest[low:high, 1:], rest[low:high, :-1], out=b[:, :-1])
            cv2.magnitude(a, b, n)
            n += 1
            for dual, gradient in ((down[low:high], a), (right[low:high], b)):
                cv2.scaleAdd(gradient, _STEP, dual, dual)
                np.divide(dual, n, out=dual)
        start = top - first
        _divergence(down, right, start, start + size, out=rest)
        smooth = np.subtract(aim[start : start + size], rest[start : start + size], out=norm[:size])
        # Rounded to nearest and cut to 0…255; what is below 0 must not be taken for its size.
        np.maximum(smooth, 0, out=smooth)
        out[top : top + size] = cv2.convertScaleAbs(smooth, alpha=self.weight / _STEP)


def _divergence(
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    low: int,
    high: int,
    *,
    out: NDArray[np.float32],
) -> None:
    """The divergence in rows ``low`` to ``high``."""
    rows = np.add(down[low:high], right[low:high], out=out[low:high])
    above = max(1, low)
    out[above:high] -= down[above - 1 : high - 1]
    rows[:, 1:] -= right[low:high, :-1]
