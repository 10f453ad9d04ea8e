"""Pixels: images as the bytes that a camera or a file would hold, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hauberk.core.model import Bounds

    Filter = Callable[[NDArray[np.uint8]], NDArray[Any]]


def to_bytes(x: NDArray[np.float32], bounds: Bounds) -> NDArray[np.uint8]:
    """Images ``(n, channels, height, width)`` as bytes ``(n, height, width, channels)``.

    Raises:
        DataError: if they are no images of 1 or 3 channels.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise DataError(f"expected images of 1 or 3 channels, got {list(x.shape)}", where="guard")
    scaled = (x - np.float32(bounds.low)) * np.float32(255.0 / (bounds.high - bounds.low))
    np.rint(scaled, out=scaled)
    return np.ascontiguousarray(scaled.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def from_bytes(pixels: NDArray[Any], bounds: Bounds) -> NDArray[np.float32]:
    """The images of bytes ``(n, height, width, channels)``, within bounds."""
    step = np.float32((bounds.high - bounds.low) / 255.0)
    images = pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C") * step
    out: NDArray[np.float32] = np.minimum(images + np.float32(bounds.low), np.float32(bounds.high))
    return out


def filtered(
    x: NDArray[np.float32], bounds: Bounds, one: Filter
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images passed through a filter of bytes, and how far each moved.

    The suspicion ``(n,)`` is the mean absolute change over the range: it grows with fine noise.

    Raises:
        DataError: as :func:`to_bytes` does.
    """
    pixels = to_bytes(x, bounds)
    out = np.stack([one(image).reshape(image.shape) for image in pixels])
    cleaned = from_bytes(out, bounds)
    return cleaned, moved(x, cleaned, bounds)


def moved(
    x: NDArray[np.float32], cleaned: NDArray[np.float32], bounds: Bounds
) -> NDArray[np.float32]:
    """Mean absolute change of each row over the range, in [0, 1]."""
    change = np.abs(cleaned - x).reshape(len(x), -1).mean(axis=1)
    scaled: NDArray[np.float32] = (change / (bounds.high - bounds.low)).astype(np.float32)
    return scaled.clip(0, 1)


def straight_through(clean: Callable[[NDArray[np.float32]], Any], x: Any) -> Any:
    """The exact filter forwards and the identity backwards, on a torch tensor.

    Backward pass differentiable approximation (Athalye et al. 2018, Obfuscated gradients give a
    false sense of security, section 4.1): an attacker who knows the filter attacks through it.
    """
    plain = x.detach()
    return x + (plain.new_tensor(clean(plain.cpu().numpy())[0]) - plain)
