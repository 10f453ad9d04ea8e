"""Random numbers that belong to a sample, so that no figure depends on how samples are batched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WORD = 1 << 64


@dataclass(frozen=True)
class Streams:
    """One stream for each sample; a draw is a pure function of (seed, sample, number of the draw).

    Nothing is consumed, so a sample that left and one that stays cannot disturb each other.
    ``keys`` ``(samples,)`` name the streams.
    """

    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, seed: int, index: NDArray[np.int64]) -> Streams:
        """The streams of the samples with these indices in their dataset."""
        root = _mix(np.array([seed % _WORD], dtype=np.uint64))
        return cls(_mix(root + index.astype(np.uint64) * _GOLDEN))

    def take(self, rows: NDArray[np.int64]) -> Streams:
        """The streams of the samples at these positions."""
        return Streams(self.keys[rows])

    def fork(self, numbers: NDArray[np.int64]) -> Streams:
        """Streams apart from these, another for each number ``(samples,)``."""
        return Streams(_mix(self.keys ^ _mix(numbers.astype(np.uint64) + _GOLDEN)))

    def uniform(self, number: int, size: int) -> NDArray[np.float32]:
        """Draw ``number``: values in [0, 1), ``(samples, size)``; ``size`` below 2³²."""
        counter = np.uint64(number << 32) + np.arange(size, dtype=np.uint64)
        bits = _mix(self.keys[:, None] + counter * _GOLDEN)
        # 24 bits are what float32 holds exactly, so that 1 is never drawn.
        return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014); wraps by design."""
    z = words + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
