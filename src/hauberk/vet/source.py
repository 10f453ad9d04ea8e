"""Bytes to be read at any place, with bounded memory, whatever holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 1 << 18


class Source(Protocol):
    """Bytes that are read in pieces; the same piece may be read again."""

    @property
    def size(self) -> int:
        """Length in bytes; finding it out may mean reading everything once."""

    def read(self, at: int, length: int, /) -> bytes:
        """The bytes from ``at`` on; fewer than ``length`` only at the end."""


class Memory:
    """Bytes that are there already."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, at: int, length: int, /) -> bytes:
        return self._data[at : at + length]


class Part:
    """A stretch of another source."""

    def __init__(self, whole: Source, start: int, size: int) -> None:
        self._whole, self._start = whole, start
        self.size = size

    def read(self, at: int, length: int, /) -> bytes:
        return self._whole.read(self._start + at, max(0, min(length, self.size - at)))


class Buffered:
    """A source whose small reads near each other are answered from one window."""

    def __init__(self, whole: Source) -> None:
        self._whole = whole
        self._window, self._base = b"", 0

    @property
    def size(self) -> int:
        return self._whole.size

    def read(self, at: int, length: int, /) -> bytes:
        start = at - self._base
        if start >= 0 and start + length <= len(self._window):
            return self._window[start : start + length]
        if length > WINDOW // 4:
            return self._whole.read(at, length)
        self._window, self._base = self._whole.read(at, WINDOW), at
        return self._window[:length]


class Inflated:
    """The plain bytes of a compressed source; going back starts over.

    ``pieces`` opens the stream anew: it returns a function that gives the next piece of plain
    bytes, empty at the end. What it raises passes through.
    """

    _KEEP = 1 << 22

    def __init__(self, pieces: Callable[[], Callable[[], bytes]]) -> None:
        self._open = pieces
        self._size: int | None = None
        self._next: Callable[[], bytes] | None = None
        self._window, self._base = bytearray(), 0

    @property
    def size(self) -> int:
        if self._size is None:
            at = self._base
            while self.read(at, 1 << 20):
                at = self._base + len(self._window)
        return self._size or 0

    def read(self, at: int, length: int, /) -> bytes:
        if self._next is None or at < self._base:
            self._next, self._window, self._base = self._open(), bytearray(), 0
        while self._base + len(self._window) < at + length:
            piece = self._next()
            if not piece:
                self._size = self._base + len(self._window)
                break
            self._window += piece
            surplus = min(at - self._base, len(self._window) - self._KEEP // 4)
            if surplus > self._KEEP:
                del self._window[:surplus]
                self._base += surplus
        start = at - self._base
        return bytes(self._window[start : start + length])
