"""Cheap statistics of an input, by which drift is told from attack."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = (
    "mean",
    "contrast",
    "darkest",
    "brightest",
    "noise_floor",
    "fine_detail",
    "edge_balance",
    "edge_tilt",
    "centre_x",
    "centre_y",
    "spread",
    "slant",
)
"""Order of the statistics: of the values, of their differences, and of where the mass lies."""

_TINY = 1e-6
_ONE = Lock()


def features(x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Statistics ``(n, 12)`` in the order of ``NAMES``, of images or vectors.

    Channels are averaged. A vector counts as an image of one row. ``mean``, ``contrast`` (standard
    deviation), ``darkest`` and ``brightest`` are in the input's unit, as is ``noise_floor``, the
    mean absolute mixed difference of neighbours. ``fine_detail`` is the energy of the mixed
    differences over that of the edges. ``edge_balance`` and ``edge_tilt`` are the parts of the
    structure tensor (Bigün and Granlund 1987), in [-1, 1]: upright against level, and the two
    diagonals. The mass is the value above the darkest: ``centre_x``, ``centre_y`` in [-1, 1],
    ``spread`` its mean squared distance from its centre, ``slant`` the mixed moment over it.

    Raises:
        DataError: if ``x`` is neither ``(n, d)`` nor ``(n, channels, height, width)``, is empty,
            or holds NaN or an infinity.
    """
    grey = _grey(x)
    n, height, width = grey.shape
    flat = grey.reshape(n, height * width)
    pixels = float(height * width)
    low = np.minimum.reduce(flat, axis=1)
    high = np.maximum.reduce(flat, axis=1)
    moments = flat @ _moments(height, width)
    out = np.empty((n, len(NAMES)), dtype=np.float32)
    mean = moments[:, 0] / pixels
    out[:, 0] = mean
    out[:, 1] = np.sqrt(np.maximum(np.vecdot(flat, flat) / pixels - mean * mean, 0.0))
    out[:, 2], out[:, 3] = low, high
    out[:, 4:8] = _edges(grey)
    out[:, 8:12] = _mass(moments - low[:, None] * _totals(height, width))
    if not np.isfinite(out).all():
        raise DataError("the input holds NaN or an infinity, or is too large", where="features")
    return out


def _grey(x: NDArray[np.floating]) -> NDArray[np.float32]:
    """``(n, height, width)`` float32, each side at least 2 so that there are differences."""
    if x.ndim not in (2, 4) or x.size == 0:
        raise DataError(
            f"cannot describe an input of shape {x.shape}",
            where="features",
            hint="expected (n, d) or (n, channels, height, width), not empty",
        )
    if x.ndim == 2:
        grey = x[:, None, :]
    elif x.shape[1] == 1:
        grey = x[:, 0]
    else:
        grey = np.add.reduce(x, axis=1) / x.shape[1]
    if grey.shape[1] < 2 or grey.shape[2] < 2:
        rows, columns = (max(0, 2 - side) for side in grey.shape[1:])
        grey = np.pad(grey, ((0, 0), (0, rows), (0, columns)), mode="edge")
    return np.ascontiguousarray(grey, dtype=np.float32)


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Noise floor, fine detail, edge balance and edge tilt ``(n, 4)``."""
    n, height, width = grey.shape
    parts = np.empty((3, n, height - 1, width - 1), dtype=np.float32)
    right, down, mixed = parts
    corner = grey[:, :-1, :-1]
    np.subtract(grey[:, :-1, 1:], corner, out=right)
    np.subtract(grey[:, 1:, :-1], corner, out=down)
    np.subtract(grey[:, 1:, 1:], grey[:, 1:, :-1], out=mixed)
    mixed -= right
    rows = parts.reshape(3, n, -1)
    xx, yy, energy = np.vecdot(rows, rows)
    total = xx + yy
    total += _TINY * rows.shape[2]
    out = np.empty((n, 4), dtype=np.float32)
    out[:, 0] = np.add.reduce(np.abs(rows[2]), axis=1) / rows.shape[2]
    out[:, 1] = energy / total
    out[:, 2] = (xx - yy) / total
    out[:, 3] = 2.0 * np.vecdot(rows[0], rows[1]) / total
    return out


def _mass(moments: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre, spread and slant ``(n, 4)`` of the raw moments ``(n, 6)``; 0 of a flat image."""
    normal = moments / (moments[:, :1] + _TINY)
    out = np.empty((len(moments), 4), dtype=np.float32)
    out[:, :2] = centre = normal[:, 1:3]
    centred = normal[:, 3:]
    centred[:, :2] -= centre * centre
    spread = np.maximum(centred[:, 0] + centred[:, 1], 0.0)
    out[:, 2] = spread
    out[:, 3] = 2.0 * (centred[:, 2] - centre[:, 0] * centre[:, 1]) / (spread + _TINY)
    return out


def _moments(height: int, width: int) -> NDArray[np.float32]:
    """Columns 1, x, y, x², y², xy over the pixels, coordinates in [-1, 1]: ``(pixels, 6)``."""
    with _ONE:  # of a large image they take much memory, of which threads must not each have some
        return _columns(height, width)


@lru_cache(maxsize=16)
def _columns(height: int, width: int) -> NDArray[np.float32]:
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    out = np.empty((height, width, 6), dtype=np.float32)
    columns: tuple[Any, ...] = (1.0, x, y, x * x, y * y)
    for place, column in enumerate(columns):
        out[..., place] = column
    np.multiply(x, y, out=out[..., 5], casting="same_kind")
    return out.reshape(height * width, 6)


@lru_cache(maxsize=16)
def _totals(height: int, width: int) -> NDArray[np.float32]:
    total: NDArray[np.float32] = _moments(height, width).sum(axis=0)
    return total
