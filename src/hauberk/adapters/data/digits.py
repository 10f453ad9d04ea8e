"""Scikit-learn's handwritten digits (Alpaydin and Kaynak 1998), enlarged to 28×28."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits

from hauberk.core.data import Dataset
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 28


def load(argument: str = "") -> Dataset:
    """1797 images ``(1, 28, 28)`` in [0, 1], ten classes, split drawn; nothing is downloaded.

    Raises:
        DataError: if an argument is given.
    """
    if argument:
        raise DataError(f"takes no argument, got {argument[:80]!r}", where="digits")
    data = load_digits()
    images = resize(data.images.astype(np.float64) / 16.0, SIDE)
    return Dataset(
        name="digits",
        x=images[:, None].astype(np.float32),
        y=data.target.astype(np.int64),
        classes=10,
    )


def resize(images: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Bilinear, pixel centres aligned: ``(n, h, w)`` to ``(n, side, side)``.

    The corners are not aligned, as in torch with ``align_corners=False``. Each value is a sum of
    two products taken one by one, so that every machine gives the same bits.
    """
    for axis in (1, 2):
        size = images.shape[axis]
        place = np.clip((np.arange(side) + 0.5) * size / side - 0.5, 0.0, size - 1.0)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, size - 1)
        form = (1, side, 1) if axis == 1 else (1, 1, side)
        share = (place - low).reshape(form)
        below, above = np.take(images, low, axis), np.take(images, high, axis)
        images = below * (1.0 - share) + above * share
    return images
