"""The objects of an HDF5 file, one after the other: what of them lies outside the file.

Source: HDF5 file format specification 3.0, sections II (superblock), III.A and III.B (B-trees),
III.C (symbol table nodes), III.D (local heaps), IV.A (object headers and their messages).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.case import Broken
from hauberk.vet.paths import escapes
from hauberk.vet.source import Buffered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_MARK = b"\x89HDF\r\n\x1a\n"
_MOST_OBJECTS, _MOST_BLOCKS = 200_000, 4096
_LINKS, _LINK, _FILES, _LAYOUT, _MORE, _TABLE = 0x02, 0x06, 0x07, 0x08, 0x10, 0x11
_EXTERNAL = 64
_LONGEST = 1 << 20


def vet_tree(source: Source, case: Case, where: str) -> None:
    """Find what the file takes from other files; what cannot be followed is not read."""
    try:
        _Tree(Buffered(source), case, where).run()
    except Broken as error:
        case.gap(f"its structure was not followed: {error}", where)


class _Tree:
    """A walk over all objects that the root leads to."""

    def __init__(self, source: Source, case: Case, where: str) -> None:
        self.source, self.case, self.where = source, case, where
        self.offset = self.length = 8
        self.base = 0
        self.todo: list[int] = []
        self.seen: set[int] = set()

    def run(self) -> None:
        self.todo.append(self._root())
        while self.todo:
            at = self.todo.pop()
            if at in self.seen or at == self._none:
                continue
            self.seen.add(at)
            if len(self.seen) > _MOST_OBJECTS:
                raise Broken(f"more than {_MOST_OBJECTS:,} objects")
            for kind, data in self._messages(at):
                self._message(kind, data)

    @property
    def _none(self) -> int:
        return (1 << 8 * self.offset) - 1

    def _take(self, at: int, count: int) -> bytes:
        data = self.source.read(self.base + at, count)
        if len(data) < count:
            raise Broken("an address leads behind the end")
        return data

    def _number(self, data: bytes, at: int, size: int) -> int:
        if at + size > len(data):
            raise Broken("a message that is too short")
        return int.from_bytes(data[at : at + size], "little")

    def _root(self) -> int:
        places = (0, *(512 << n for n in range(12)))
        start = next((at for at in places if self.source.read(at, 8) == _MARK), None)
        if start is None:
            raise Broken("no superblock")
        head = self.source.read(start, 256).ljust(256, b"\0")
        version = head[8]
        if version in {0, 1}:
            self.offset, self.length = head[13], head[14]
            at = 24 + 4 * version
            root = at + 5 * self.offset
        elif version in {2, 3}:
            self.offset, self.length = head[9], head[10]
            at = 12
            root = at + 3 * self.offset
        else:
            raise Broken(f"superblock of version {version}")
        if self.offset not in {4, 8} or self.length not in {4, 8}:
            raise Broken("addresses of an unusual size")
        self.base = self._number(head, at, self.offset)
        return self._number(head, root, self.offset)

    def _messages(self, at: int) -> Iterator[tuple[int, bytes]]:
        """The messages of one object header, in all its blocks."""
        head = self._take(at, 4)
        if head == b"OHDR":
            flags = self._take(at + 5, 1)[0]
            begin = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = int.from_bytes(self._take(begin, width), "little")
            blocks, front, extra = [(begin + width, size)], 4, 2 if flags & 4 else 0
        elif head[0] == 1:
            size = int.from_bytes(self._take(at + 8, 4), "little")
            blocks, front, extra = [(at + 16, size)], 8, 0
        else:
            raise Broken("an address leads to no object")
        for number, (start, size) in enumerate(blocks):
            if number > _MOST_BLOCKS or size > _LONGEST:
                raise Broken("an object of too many parts")
            block, here = self._take(start, size), 0
            while here + front + extra <= len(block):
                kind = block[here] if front == 4 else self._number(block, here, 2)
                count = self._number(block, here + (1 if front == 4 else 2), 2)
                here += front + extra
                data = block[here : here + count]
                here += count
                if kind == _MORE:
                    more = self._number(data, 0, self.offset)
                    length = self._number(data, self.offset, self.length)
                    blocks.append((more + 4, length - 8) if front == 4 else (more, length))
                else:
                    yield kind, data

    def _message(self, kind: int, data: bytes) -> None:
        if kind == _TABLE:
            self._nodes(self._number(data, 0, self.offset))
        elif kind == _LINK:
            self._link(data)
        elif kind == _LINKS:
            at = 2 + (8 if data[1:2] and data[1] & 1 else 0)
            heap = self._number(data, at, self.offset)
            if heap != self._none:
                raise Broken("a group whose links lie in a heap of their own")
        elif kind == _FILES and self._number(data, 6, 2):
            self._files(data)
        elif kind == _LAYOUT and data[:1] == b"\4" and data[1:2] == b"\3":
            self.case.find("HB-V016", "a dataset is put together from other files", self.where)

    def _nodes(self, at: int) -> None:
        """The members of an old group: a tree of nodes with the symbols at its leaves."""
        todo, seen = [at], 0
        width = 2 * self.offset + 24
        while todo:
            here = todo.pop()
            seen += 1
            if seen > _MOST_BLOCKS * 16:
                raise Broken("a group of too many nodes")
            mark = self._take(here, 4)
            if mark == b"SNOD":
                count = self._number(self._take(here, 8), 6, 2)
                table = self._take(here + 8, count * width)
                for row in range(count):
                    if self._number(table, row * width + 2 * self.offset, 4) != 2:  # no soft link
                        self.todo.append(
                            self._number(table, row * width + self.offset, self.offset)
                        )
            elif mark == b"TREE":
                count = self._number(self._take(here, 8), 6, 2)
                start = here + 8 + 2 * self.offset
                step = self.length + self.offset
                keys = self._take(start, count * step)
                todo += [
                    self._number(keys, row * step + self.length, self.offset)
                    for row in range(count)
                ]
            else:
                raise Broken("a group leads to no node")

    def _link(self, data: bytes) -> None:
        flags = self._number(data, 1, 1)
        at = 2
        kind = 0
        if flags & 8:
            kind, at = self._number(data, at, 1), at + 1
        at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        at += width + self._number(data, at, width)
        if kind == 0:
            self.todo.append(self._number(data, at, self.offset))
        elif kind == _EXTERNAL:
            value = data[at + 3 : at + 2 + self._number(data, at, 2)]
            self._outside(value.partition(b"\0")[0].decode("utf-8", "replace"))

    def _files(self, data: bytes) -> None:
        heap = self._take(self._number(data, 8, self.offset), 8 + 2 * self.length + self.offset)
        base = self._number(heap, 8 + 2 * self.length, self.offset)
        step = 3 * self.length
        for row in range(min(self._number(data, 6, 2), _MOST_BLOCKS)):
            name = self._number(data, 8 + self.offset + row * step, self.length)
            text = self.source.read(self.base + base + name, 512).partition(b"\0")[0]
            self._outside(text.decode("utf-8", "replace"))

    def _outside(self, path: str) -> None:
        message = f"it reads data from {path[:200]}"
        if escapes(path):
            self.case.find("HB-V010", message, self.where)
        else:
            self.case.find("HB-V016", message, self.where, Severity.MEDIUM)
