"""Picture: one case in one image, for the person who reviews it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SIDE, _GAP = 96, 4


def nearest(x: NDArray[np.float32], among: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of the ``count`` samples ``(n, ...)`` nearest to ``x``, by Euclidean distance."""
    gaps = (among - x[None]).reshape(len(among), -1)
    order = np.argsort(np.vecdot(gaps, gaps), kind="stable")
    return order[:count].astype(np.int64)


def picture(
    x: NDArray[np.float32],
    neighbours: NDArray[np.float32],
    attributions: Sequence[NDArray[np.float64]],
) -> NDArray[np.uint8]:
    """The input, its clean neighbours, and each attribution over the input, in a row.

    ``(height, width, 3)``. What speaks for the answer is red, what speaks against it blue.

    Raises:
        DataError: if the input is no image.
    """
    if x.ndim != 3 or x.shape[0] not in {1, 3}:
        raise DataError(f"no image: {list(x.shape)}", where="picture")
    low, high = float(x.min()), float(x.max())
    tiles = [_coloured(x, low, high), *(_coloured(one, low, high) for one in neighbours)]
    tiles += [_heat(x, values, low, high) for values in attributions]
    large = [_enlarged(tile) for tile in tiles]
    gap = np.full((large[0].shape[0], _GAP, 3), 255, dtype=np.uint8)
    row = [large[0]]
    for tile in large[1:]:
        row += [gap, tile]
    return np.concatenate(row, axis=1)


def _coloured(x: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    scaled = np.clip((x - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    three = np.broadcast_to(scaled, (3, *x.shape[1:]))
    return np.ascontiguousarray(three.transpose(1, 2, 0))


def _heat(
    x: NDArray[np.float32], values: NDArray[np.float64], low: float, high: float
) -> NDArray[np.uint8]:
    strength = values.sum(axis=0)
    strength = strength / max(float(np.abs(strength).max()), 1e-12)
    grey = _coloured(x.mean(axis=0, keepdims=True), low, high).astype(np.float64) * 0.4
    grey[..., 0] += 153 * np.maximum(strength, 0)
    grey[..., 2] += 153 * np.maximum(-strength, 0)
    return np.clip(grey, 0, 255).astype(np.uint8)


def _enlarged(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    times = max(1, _SIDE // tile.shape[0])
    return np.repeat(np.repeat(tile, times, axis=0), times, axis=1)
