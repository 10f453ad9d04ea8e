"""Likeness: which of many fingerprints are near one of those shortly before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard.fingerprint import BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_WORDS, _DIGITS = BITS // 64, BITS // 4
_AT_ONCE = 256


def words(fingerprints: Sequence[str]) -> NDArray[np.uint64] | None:
    """Fingerprints ``(n, words)``; None where one is not of ``BITS`` bits in hex."""
    if any(len(one) != BITS // 4 for one in fingerprints):
        return None
    try:
        data = bytes.fromhex("".join(fingerprints))
    except ValueError:
        return None
    if len(data) * 8 != len(fingerprints) * BITS:
        return None
    return np.frombuffer(data, dtype=">u8").astype(np.uint64).reshape(-1, _WORDS)


def number(fingerprint: str) -> int | None:
    """A fingerprint as a number; None where it is not of ``BITS`` bits in hex."""
    if len(fingerprint) != _DIGITS:
        return None
    try:
        return int(fingerprint, 16)
    except ValueError:
        return None


def written(marks: Iterable[int]) -> str:
    """Numbers as one text, for a state."""
    return "".join(f"{mark:0{_DIGITS}x}" for mark in marks)


def numbers(text: str, *, most: int) -> list[int]:
    """The numbers of a text that :func:`written` gave.

    Raises:
        DataError: if one is malformed, or there are more than ``most``.
    """
    read = [number(text[at : at + _DIGITS]) for at in range(0, len(text), _DIGITS)]
    known = [mark for mark in read if mark is not None]
    if len(known) < len(read) or len(read) > most:
        raise DataError("fingerprints are malformed, or too many", where="monitor")
    return known


def of_numbers(marks: Iterable[int]) -> NDArray[np.uint64]:
    """Fingerprints given as numbers, ``(n, words)``."""
    data = b"".join(mark.to_bytes(BITS // 8, "big") for mark in marks)
    return np.frombuffer(data, dtype=">u8").astype(np.uint64).reshape(-1, _WORDS)


def near(
    before: NDArray[np.uint64], marks: NDArray[np.uint64], *, room: int, radius: int
) -> NDArray[np.bool_]:
    """Which of ``marks`` ``(n, words)`` are within ``radius`` bits of one of the ``room`` before.

    ``before`` ``(m, words)`` were there first.
    """
    known = len(before)
    blank = np.zeros((max(0, room - known), _WORDS), dtype=np.uint64)
    every = np.concatenate((blank, before[-room:] if known else before, marks))
    # Columns of one word each: the last axis of a window runs over what came before.
    columns = [
        np.ndarray((len(marks), room), np.uint64, column, strides=(8, 8))  # windows, not copied
        for column in np.ascontiguousarray(every.T)
    ]
    out = np.zeros(len(marks), dtype=np.bool_)
    for first in range(0, len(marks), _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, len(marks)))
        apart = sum(
            np.bitwise_count(column[part] ^ marks[part, word, None])
            for word, column in enumerate(columns)
        )
        close = apart <= radius
        filled = np.minimum(known + np.arange(part.start, part.stop), room)
        if filled[0] < room:
            close &= np.arange(room) >= room - filled[:, None]
        out[part] = close.any(axis=1)
    return out
