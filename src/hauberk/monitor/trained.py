"""Trained: fingerprints of what a model was trained on, and which inputs look like one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import UserError
from hauberk.guard.fingerprint import BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BANDS = BITS // 16
_AT_ONCE = 1 << 20
"""Pairs that are compared at a time."""


class Trained:
    """``marks`` ``(n, words)``; an input is known if it is within ``radius`` bits of one of them.

    Two that differ in fewer bits than there are bands of 16 agree in one band at least, so only
    what shares a band is compared (Norouzi, Punjani and Fleet 2012, section 3).

    Raises:
        UserError: if the radius is not within 0 and 7.
    """

    def __init__(self, marks: NDArray[np.uint64], *, radius: int = 7) -> None:
        if not 0 <= radius < _BANDS:
            raise UserError(f"radius must lie in 0…{_BANDS - 1}, not {radius}")
        self.radius = radius
        self._marks = np.unique(marks, axis=0)
        bands = _bands(self._marks)
        self._orders = np.argsort(bands, axis=0, kind="stable")
        # Of each band, before how many marks in order a value stands: a table, 16 bits are few.
        counts = [np.bincount(band, minlength=1 << 16) for band in bands.T]
        self._starts = np.zeros((_BANDS, (1 << 16) + 1), dtype=np.int64)
        np.cumsum(counts, axis=1, out=self._starts[:, 1:])

    def __len__(self) -> int:
        return len(self._marks)

    def knows(self, mark: NDArray[np.uint64]) -> bool:
        """Whether one mark ``(words,)`` is near one of ours: as :meth:`known`, at once."""
        for band, value in enumerate(_bands(mark[None])[0].tolist()):
            starts = self._starts[band]
            first, last = int(starts[value]), int(starts[value + 1])
            if first < last:
                ours = self._marks[self._orders[first:last, band]]
                if (np.bitwise_count(ours ^ mark).sum(axis=1) <= self.radius).any():
                    return True
        return False

    def known(self, marks: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of ``marks`` ``(m, words)`` are near one of ours, ``(m,)``."""
        out = np.zeros(len(marks), dtype=np.bool_)
        bands = _bands(marks)
        for band in range(_BANDS):
            left = np.flatnonzero(~out)
            value, starts_at = bands[left, band].astype(np.int64), self._starts[band]
            first = starts_at[value]
            count = starts_at[value + 1] - first
            for part in _parts(count):
                rows, starts, many = left[part], first[part], count[part]
                # The places first, first + 1, … of each row, one row after another.
                within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
                ours = self._orders[np.repeat(starts, many) + within, band]
                theirs = np.repeat(rows, many)
                apart = np.bitwise_count(self._marks[ours] ^ marks[theirs]).sum(axis=1)
                out[theirs[apart <= self.radius]] = True
        return out


def _bands(marks: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The bands ``(n, 8)`` of fingerprints ``(n, words)``."""
    return np.ascontiguousarray(marks).view(np.uint16).reshape(len(marks), _BANDS)


def _parts(count: NDArray[np.int64]) -> list[slice]:
    """Slices of rows whose pairs are at most so many together, or one row's."""
    if len(count) and count.sum() <= _AT_ONCE:
        return [slice(0, len(count))]
    out, start, pairs = [], 0, 0
    for row, more in enumerate(count.tolist()):
        if pairs and pairs + more > _AT_ONCE:
            out.append(slice(start, row))
            start, pairs = row, 0
        pairs += more
    return [*out, slice(start, len(count))] if len(count) else []
