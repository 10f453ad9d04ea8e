"""Kinds of harmless change that the accuracy gauge is fitted on beside the calibrated ones.

Many families rather than many strengths: the gauge's interval is over families, and the fewer there
are the wider it must be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Images = NDArray[np.float32]

PLAIN: Mapping[str, tuple[float, ...]] = {
    "gamma": (0.5, 0.7, 1.6),
    "salt": (0.02, 0.08),
    "posterise": (2.0, 4.0),
    "haze": (0.25, 0.5),
}
"""Family → strengths, for inputs of any shape."""
SPATIAL: Mapping[str, tuple[float, ...]] = {
    "pixelate": (2.0, 4.0),
    "occlude": (0.25, 0.45),
    "zoom": (0.8, 1.25),
    "shear": (-0.25, 0.25),
    "stripes": (0.3, 0.6),
}
"""Family → strengths, for images only."""


def changed(x: Images, family: str, strength: float, rng: np.random.Generator) -> Images:
    """A changed copy of ``x`` ``(n, ...)``, whose values lie in [0, 1], of the same shape."""
    moved = np.clip(_KINDS[family](x, strength, rng), 0.0, 1.0)
    return np.ascontiguousarray(moved, dtype=np.float32)


def _gamma(x: Images, power: float, _: np.random.Generator) -> Images:
    return np.asarray(x**power)


def _salt(x: Images, share: float, rng: np.random.Generator) -> Images:
    """A share of the values becomes 0 or 1."""
    hit, value = rng.random(x.shape) < share, rng.integers(2, size=x.shape)
    return np.where(hit, value, x).astype(np.float32)


def _posterise(x: Images, levels: float, _: np.random.Generator) -> Images:
    return np.asarray(np.rint(x * levels) / levels)


def _haze(x: Images, share: float, _: np.random.Generator) -> Images:
    return np.asarray((1 - share) * x + share * 0.9)


def _pixelate(x: Images, block: float, _: np.random.Generator) -> Images:
    """Each square of ``block`` pixels becomes its mean; what is left over at the end stays."""
    size = int(block)
    out, (n, channels, height, width) = x.copy(), x.shape
    high, wide = height // size * size, width // size * size
    parts = x[..., :high, :wide].reshape(n, channels, high // size, size, wide // size, size)
    means = parts.mean(axis=(3, 5))
    out[..., :high, :wide] = means.repeat(size, axis=2).repeat(size, axis=3)
    return out


def _occlude(x: Images, side: float, rng: np.random.Generator) -> Images:
    """A grey square, ``side`` of the image, somewhere in each."""
    out, (height, width) = x.copy(), x.shape[2:]
    high, wide = max(1, round(side * height)), max(1, round(side * width))
    tops = rng.integers(height - high + 1, size=len(x))
    lefts = rng.integers(width - wide + 1, size=len(x))
    for image, top, left in zip(out, tops, lefts, strict=True):
        image[:, top : top + high, left : left + wide] = 0.5
    return out


def _zoom(x: Images, factor: float, _: np.random.Generator) -> Images:
    return _looked_up(x, lambda down, right: (down / factor, right / factor))


def _shear(x: Images, slope: float, _: np.random.Generator) -> Images:
    return _looked_up(x, lambda down, right: (down, right + slope * down))


def _stripes(x: Images, depth: float, _: np.random.Generator) -> Images:
    """Every second pair of rows is darkened."""
    out = x.copy()
    out[:, :, np.arange(x.shape[2]) // 2 % 2 == 1] *= 1 - depth
    return out


def _looked_up(x: Images, source: Callable[[Images, Images], tuple[Images, Images]]) -> Images:
    """Each pixel from where ``source`` says, about the centre; 0 from outside. Nearest pixel."""
    height, width = x.shape[2:]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    middle = ((height - 1) / 2, (width - 1) / 2)
    down, right = source(rows - middle[0], columns - middle[1])
    row = np.rint(down + middle[0]).astype(np.int64)
    column = np.rint(right + middle[1]).astype(np.int64)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    found = x[:, :, row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.asarray(found * inside)


_KINDS: Mapping[str, Callable[[Images, float, np.random.Generator], Images]] = {
    "gamma": _gamma,
    "salt": _salt,
    "posterise": _posterise,
    "haze": _haze,
    "pixelate": _pixelate,
    "occlude": _occlude,
    "zoom": _zoom,
    "shear": _shear,
    "stripes": _stripes,
}
