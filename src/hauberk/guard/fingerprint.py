"""Fingerprint: a keyed perceptual hash, alike for inputs that look alike."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import UserError
from hauberk.guard.bounded import images, thumbnail

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = 128
_SIDE = 14


@dataclass(frozen=True)
class Fingerprint:
    """128 signs of random projections of a thumbnail of at most 14 x 14 blocks.

    The share of bits in which two differ grows with the angle between the thumbnails about their
    means (Charikar 2002, section 3), so noise on single pixels hardly changes it, and without the
    ``key`` nobody can look for inputs that do. Of a large image a grid of pixels is read.

    Raises:
        UserError: if the key is shorter than 16 bytes.
    """

    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) < 16:
            raise UserError("a fingerprint's key needs 16 bytes or more")

    def __call__(self, x: NDArray[np.floating]) -> list[str]:
        """Fingerprints of inputs ``(n, ...)``, 32 hexadecimal digits each."""
        grid = images(x)
        if grid.shape[1] > 1:
            grid = grid.mean(axis=1, keepdims=True) if grid[0].size < 4096 else grid
        small = thumbnail(grid, _SIDE).reshape(len(x), -1).astype(np.float32)
        small -= small.mean(axis=1, keepdims=True)
        signs = small @ _projections(self.key, small.shape[1]) > 0
        return [row.tobytes().hex() for row in np.packbits(signs, axis=1)]


@lru_cache(maxsize=8)
def _projections(key: bytes, width: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.blake2b(key, digest_size=16, person=b"fingerprint").digest())
    drawn = np.random.Generator(np.random.Philox(key=seed)).standard_normal((width, BITS))
    return drawn.astype(np.float32)


def distance(one: int, two: int) -> int:
    """In how many bits two fingerprints, read as numbers, differ."""
    return (one ^ two).bit_count()
