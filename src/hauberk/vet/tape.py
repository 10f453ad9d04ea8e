"""A place in a source that moves forward: single bytes, stretches and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.vet.case import Broken

if TYPE_CHECKING:
    from hauberk.vet.source import Source

_CHUNK = 1 << 20
_MARGIN = 1 << 13
_LONGEST_LINE = 1 << 26


class Tape:
    """Reads a source through a window; ``place`` is where it stands."""

    def __init__(self, source: Source, start: int) -> None:
        self.source, self.start = source, start
        self.base, self.at = start, 0
        self.window = source.read(start, _CHUNK)

    @property
    def place(self) -> int:
        """Where the next byte stands in the source."""
        return self.base + self.at

    def jump(self, at: int) -> None:
        """Go on at another place."""
        if self.base <= at <= self.base + len(self.window) - _MARGIN:
            self.at = at - self.base
            return
        self._load(at)

    def _load(self, at: int) -> None:
        self.window, self.base, self.at = self.source.read(at, _CHUNK), at, 0

    def byte(self) -> int:
        """The next byte; also keeps the window ahead of it.

        Raises:
            Broken: at the end.
        """
        if len(self.window) - self.at < _MARGIN and len(self.window) == _CHUNK:
            self._load(self.base + self.at)
        if self.at >= len(self.window):
            raise Broken("it ends before its STOP")
        self.at += 1
        return self.window[self.at - 1]

    def take(self, count: int) -> bytes:
        """The next few bytes.

        Raises:
            Broken: if there are fewer.
        """
        data = self.window[self.at : self.at + count]
        if len(data) < count:
            raise Broken("it ends within an opcode")
        self.at += count
        return data

    def reaches(self, end: int) -> bool:
        """Whether the source has bytes up to ``end``."""
        return end <= self.place or bool(self.source.read(end - 1, 1))

    def line(self) -> bytes:
        r"""The bytes up to the next ``\n``, which is passed over.

        Raises:
            Broken: if there is none, or only very far away.
        """
        end = self.window.find(b"\n", self.at)
        if end < 0:
            self._load(self.place)
            more = self.window
            while (end := self.window.find(b"\n", len(self.window) - len(more))) < 0:
                more = self.source.read(self.base + len(self.window), _CHUNK)
                if not more or len(self.window) > _LONGEST_LINE:
                    raise Broken("a line without an end")
                self.window += more
        line = self.window[self.at : end]
        self.at = end + 1
        return line
