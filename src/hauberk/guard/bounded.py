"""Bounded copies of an image: however large it is, a sensor looks at as much as it can afford."""

from __future__ import annotations

from typing import Any

import numpy as np

_CROP, _ACROSS = 32, 4


def images(x: Any) -> Any:
    """Inputs as ``(n, channels, height, width)``; anything else counts as one row of pixels."""
    if len(x.shape) == 4:
        return x
    return x.reshape(x.shape[0], 1, 1, -1)


def crops(x: Any) -> Any:
    """At most 4 x 4 crops of 32 x 32 at full resolution: ``(n, k, channels, height, width)``.

    They lie evenly over the image; one that is no larger than 128 x 128 is taken whole.
    """
    height, width = x.shape[2], x.shape[3]
    if height * width <= (_CROP * _ACROSS) ** 2:
        return x[:, None]
    tops = _places(height)
    lefts = _places(width)
    rows = min(_CROP, height)
    columns = min(_CROP, width)
    parts = [x[:, :, top : top + rows, left : left + columns] for top in tops for left in lefts]
    if isinstance(x, np.ndarray):
        return np.stack(parts, axis=1)
    out = x.new_empty((x.shape[0], len(parts), *parts[0].shape[1:]))
    for place, part in enumerate(parts):
        out[:, place] = part
    return out


def thumbnail(x: Any, side: int) -> Any:
    """Means over blocks, at most ``side`` x ``side`` of them: ``(n, channels, rows, columns)``.

    Of a large block only a grid of 4 x 4 pixels is read.
    """
    for axis in (2, 3):
        size = x.shape[axis]
        stride = max(1, size // (4 * side))
        x = x[:, :, ::stride] if axis == 2 else x[:, :, :, ::stride]
    height, width = x.shape[2], x.shape[3]
    down, across = -(-height // side), -(-width // side)
    x = x[:, :, : height - height % down or None, : width - width % across or None]
    # Whole planes are added, one for each place in a block: a mean over two axes takes ten times
    # as long, and its rounding depends on how many inputs there are.
    total: Any = 0.0
    for row in range(down):
        for column in range(across):
            total = total + x[:, :, row::down, column::across]
    return total / (down * across)


def _places(size: int) -> list[int]:
    if size <= _CROP:
        return [0]
    count = min(_ACROSS, size // _CROP)
    return [round(place * (size - _CROP) / max(1, count - 1)) for place in range(count)]
