"""Pixels: images as the bytes that a camera or a file would hold, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hauberk.core.model import Bounds

    Planes = list[Any]  # of NDArray[np.uint8]; the library's own types are wider
    Filter = Callable[[Planes], Planes]


def to_bytes(x: NDArray[np.float32], bounds: Bounds) -> NDArray[np.uint8]:
    """Images ``(n, channels, height, width)`` as bytes of the same shape.

    Raises:
        DataError: if they are no images of 1 or 3 channels.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise DataError(f"expected images of 1 or 3 channels, got {list(x.shape)}", where="guard")
    scale = 255.0 / (bounds.high - bounds.low)
    flat = _flat(x)
    # One pass, rounded to nearest and cut to 0…255.
    out: NDArray[Any] = cv2.addWeighted(
        flat, scale, flat, 0.0, -bounds.low * scale, dtype=cv2.CV_8U
    )
    return out.reshape(x.shape)


def from_bytes(pixels: NDArray[np.uint8], bounds: Bounds) -> NDArray[np.float32]:
    """The images of bytes, within bounds."""
    step, low, high = _scale(bounds.low, bounds.high)
    out: NDArray[np.float32] = np.multiply(pixels, step, dtype=np.float32)
    if low:
        out += low
    if high is not None:
        np.minimum(out, high, out=out)
    return out


def filtered(
    x: NDArray[np.float32], bounds: Bounds, *filters: Filter
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images as :func:`cleaned` gives them, and how far each moved.

    The suspicion ``(n,)`` is the mean absolute change over the range: it grows with fine noise.

    Raises:
        DataError: as :func:`to_bytes` does.
    """
    out = cleaned(x, bounds, *filters)
    return out, moved(x, out, bounds)


def cleaned(x: NDArray[np.float32], bounds: Bounds, *filters: Filter) -> NDArray[np.float32]:
    """Images passed through filters of bytes one after another.

    A filter takes the channels of one image.

    Raises:
        DataError: as :func:`to_bytes` does.
    """
    pixels = to_bytes(x, bounds)
    for image in pixels:
        came: Planes = list(image)
        planes = came
        for one in filters:
            planes = one(planes)
        if planes is not came:
            for place, plane in enumerate(planes):
                image[place] = plane
    return from_bytes(pixels, bounds)


def moved(
    x: NDArray[np.float32], cleaned: NDArray[np.float32], bounds: Bounds
) -> NDArray[np.float32]:
    """Mean absolute change of each row over the range, in [0, 1]."""
    size = x[0].size * (bounds.high - bounds.low)
    pairs = zip(x, cleaned, strict=True)
    change = [cv2.norm(a.reshape(-1), b.reshape(-1), cv2.NORM_L1) / size for a, b in pairs]
    return np.array(change, dtype=np.float32).clip(0, 1)


def _flat(x: NDArray[Any]) -> NDArray[Any]:
    """The same values as one tall image, which OpenCV takes whole."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


@lru_cache(maxsize=16)
def _scale(low: float, high: float) -> tuple[np.float32, np.float32, np.float32 | None]:
    """The step between two levels and the least; the greatest, if steps lead beyond it."""
    step, least, most = np.float32((high - low) / 255.0), np.float32(low), np.float32(high)
    return step, least, most if np.float32(255) * step + least > most else None


def straight_through(clean: Callable[[NDArray[np.float32]], Any], x: Any) -> Any:
    """The exact filter forwards and the identity backwards, on a torch tensor.

    Backward pass differentiable approximation (Athalye et al. 2018, Obfuscated gradients give a
    false sense of security, section 4.1): an attacker who knows the filter attacks through it.
    """
    plain = x.detach()
    return x + (plain.new_tensor(clean(plain.cpu().numpy())[0]) - plain)
