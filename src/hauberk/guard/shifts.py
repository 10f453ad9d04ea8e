"""Benign shifts: what happens to inputs without an attacker, with a strength."""

from __future__ import annotations

from math import ceil, cos, radians, sin
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import DataError, UnknownNameError, UserError
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

FAMILIES: Mapping[str, tuple[str, float]] = {
    "noise 0.05": ("noise", 0.05),
    "noise 0.1": ("noise", 0.1),
    "brightness +0.15": ("brightness", 0.15),
    "brightness -0.15": ("brightness", -0.15),
    "contrast x0.7": ("contrast", 0.7),
    "contrast x1.3": ("contrast", 1.3),
    "rotation +8": ("rotation", 8.0),
    "rotation -8": ("rotation", -8.0),
    "rotation +15": ("rotation", 15.0),
    "rotation -15": ("rotation", -15.0),
    "blur 1": ("blur", 1.0),
    "right 1": ("translation_x", 1.0),
    "left 1": ("translation_x", -1.0),
    "down 1": ("translation_y", 1.0),
    "up 1": ("translation_y", -1.0),
}
"""The shifts that a pair is calibrated under: name → (kind, strength)."""


def shift(
    x: NDArray[np.float32],
    kind: str,
    strength: float,
    *,
    rng: np.random.Generator,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> NDArray[np.float32]:
    """A shifted copy of ``x``, of the same shape, clipped to ``bounds``.

    Strengths: ``noise`` standard deviation and ``brightness`` offset, as fractions of the range;
    ``contrast`` factor about mid-range; ``rotation`` degrees, counter-clockwise; ``blur`` standard
    deviation in pixels; ``translation_x`` and ``translation_y`` pixels, right and down. What a
    rotation or a translation uncovers is filled with the low bound. The last four need images.

    Raises:
        DataError: if ``x`` is neither ``(n, d)`` nor ``(n, channels, height, width)``, or a
            geometric shift meets vectors.
        UnknownNameError: if there is no such kind.
        UserError: if the strength is not finite, or is negative where that means nothing.
    """
    if kind not in _VALUE and kind not in _SPACE:
        raise UnknownNameError(kind, (*_VALUE, *_SPACE), kind="shift")
    if not np.isfinite(strength) or (strength < 0 and kind in ("noise", "contrast", "blur")):
        raise UserError(f"a {kind} shift cannot have the strength {strength}")
    if x.ndim not in (2, 4):
        raise DataError(
            f"cannot shift inputs of shape {x.shape}",
            where=kind,
            hint="expected (n, d) or (n, channels, height, width)",
        )
    if kind in _SPACE and x.ndim != 4:
        raise DataError("needs images (n, channels, height, width)", where=kind)
    unit = (x.astype(np.float64) - bounds.low) / (bounds.high - bounds.low)
    moved = _VALUE[kind](unit, strength, rng) if kind in _VALUE else _SPACE[kind](unit, strength)
    scaled = bounds.low + moved * (bounds.high - bounds.low)
    return np.clip(scaled, bounds.low, bounds.high).astype(np.float32)


def benign(
    x: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> dict[str, NDArray[np.float32]]:
    """``x`` under every shift of ``FAMILIES`` that its shape allows, by name."""
    return {
        name: shift(x, kind, strength, rng=rng, bounds=bounds)
        for name, (kind, strength) in FAMILIES.items()
        if x.ndim == 4 or kind in _VALUE
    }


_Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _noise(x: _Array, sigma: float, rng: np.random.Generator) -> _Array:
    return x + sigma * rng.standard_normal(x.shape)


def _brightness(x: _Array, offset: float, _: np.random.Generator) -> _Array:
    return x + offset


def _contrast(x: _Array, factor: float, _: np.random.Generator) -> _Array:
    return 0.5 + factor * (x - 0.5)


def _rotation(x: _Array, degrees: float) -> _Array:
    """Rotate about the centre, bilinear: each target pixel is looked up at its source."""
    height, width = x.shape[2:]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    down, right = rows - (height - 1) / 2, columns - (width - 1) / 2
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return _sample(
        x, c * down + s * right + (height - 1) / 2, c * right - s * down + (width - 1) / 2
    )


def _translation_x(x: _Array, pixels: float) -> _Array:
    rows, columns = np.mgrid[: x.shape[2], : x.shape[3]].astype(np.float64)
    return _sample(x, rows, columns - pixels)


def _translation_y(x: _Array, pixels: float) -> _Array:
    rows, columns = np.mgrid[: x.shape[2], : x.shape[3]].astype(np.float64)
    return _sample(x, rows - pixels, columns)


def _sample(x: _Array, rows: _Array, columns: _Array) -> _Array:
    """Bilinear look-up at fractional positions ``(height, width)``; 0 outside the image."""
    height, width = x.shape[2:]
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    out = np.zeros_like(x)
    for r, row_share in ((top, 1 - (rows - top)), (top + 1, rows - top)):
        for c, column_share in ((left, 1 - (columns - left)), (left + 1, columns - left)):
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            pixels = x[:, :, np.clip(r, 0, height - 1), np.clip(c, 0, width - 1)]
            out += pixels * (row_share * column_share * inside)
    return out


def _blur(x: _Array, sigma: float) -> _Array:
    """Gaussian blur, separable, edges repeated."""
    if sigma == 0:
        return x
    radius = ceil(3 * sigma)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for axis in (2, 3):
        pad = [(0, 0)] * 4
        pad[axis] = (radius, radius)
        wide = np.pad(x, pad, mode="edge")
        x = np.lib.stride_tricks.sliding_window_view(wide, len(kernel), axis=axis) @ kernel
    return x


_VALUE: Mapping[str, Callable[[_Array, float, np.random.Generator], _Array]] = {
    "noise": _noise,
    "brightness": _brightness,
    "contrast": _contrast,
}
_SPACE: Mapping[str, Callable[[_Array, float], _Array]] = {
    "rotation": _rotation,
    "blur": _blur,
    "translation_x": _translation_x,
    "translation_y": _translation_y,
}
