"""The directory of a ZIP archive, read by hand: loaders differ in which half they believe.

Source: PKWARE's APPNOTE 6.3, sections 4.3 to 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

from hauberk.vet.case import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.source import Source

_END = Struct("<4sHHHHIIH")
_CENTRAL = Struct("<4sBBHHHHHIIIHHHHHII")
_LOCAL = Struct("<4sHHHHHIIIHH")
_WIDE = Struct("<4sQHHIIQQQQ")
_TAIL = (1 << 16) + _END.size
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as the central directory has it; ``at`` is where its local header stands."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    at: int
    mode: int


@dataclass(frozen=True, slots=True)
class Local:
    """The same member as its own header has it; ``data`` is where its bytes begin."""

    name: bytes
    flags: int
    method: int
    packed: int
    size: int
    data: int


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory lies, how many entries it announces, what stands before."""

    at: int
    size: int
    count: int
    shift: int
    end: int


def find_directory(source: Source) -> Directory | None:
    """The directory that the end record points to; None if there is no end record."""
    size = source.size
    start = max(0, size - _TAIL)
    tail = source.read(start, _TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return None
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, at)
    end = start + at
    wide = source.read(end - 20, 20) if end >= 20 else b""
    if wide[:4] == b"PK\x06\x07":
        record_at = int.from_bytes(wide[8:16], "little")
        record = source.read(record_at, _WIDE.size)
        if record[:4] != b"PK\x06\x06" or len(record) < _WIDE.size:
            raise Broken("its wide end record is missing")
        _, _, _, _, _, _, _, count, length, offset = _WIDE.unpack(record)
        end = record_at
    shift = end - length - offset
    if shift < 0:
        raise Broken("its directory does not fit into the file")
    return Directory(offset + shift, length, count, shift, end)


def entries(source: Source, directory: Directory) -> Iterator[Entry]:
    """The members in the order of the directory.

    Raises:
        Broken: if an entry is not one.
    """
    at, end = directory.at, directory.at + directory.size
    window, base = source.read(at, min(_CHUNK, end - at)), at
    while at < end:
        if at - base + (1 << 18) > len(window) and base + len(window) < end:
            window, base = source.read(at, min(_CHUNK, end - at)), at
        here = at - base
        if here + _CENTRAL.size > len(window):
            raise Broken("its directory ends within an entry")
        (mark, _, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, _, _,
         attributes, offset) = _CENTRAL.unpack_from(window, here)  # fmt: skip
        if mark != b"PK\x01\x02":
            raise Broken("its directory holds something that is no entry")
        here += _CENTRAL.size
        name = window[here : here + n_name]
        if 0xFFFFFFFF in (packed, size, offset):
            extra = window[here + n_name : here + n_name + n_extra]
            size, packed, offset = _widened(extra, size, packed, offset)
        yield Entry(
            name, flags, method, crc, packed, size, offset + directory.shift, attributes >> 16
        )
        at += _CENTRAL.size + n_name + n_extra + n_comment


def local_header(source: Source, at: int) -> Local:
    """The header in front of a member's bytes.

    Raises:
        Broken: if there is none.
    """
    head = source.read(at, _LOCAL.size + 256)
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise Broken("a member has no header of its own")
    _, _, flags, method, _, _, _, packed, size, n_name, n_extra = _LOCAL.unpack_from(head)
    need = _LOCAL.size + n_name + n_extra
    if need > len(head):
        head = source.read(at, need)
    name = head[_LOCAL.size : _LOCAL.size + n_name]
    if 0xFFFFFFFF in (packed, size):
        size, packed, _ = _widened(head[_LOCAL.size + n_name :], size, packed, 0)
    return Local(name, flags, method, packed, size, at + need)


def _widened(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The 64-bit values of the extra field 1, for those that are all ones."""
    values = [size, packed, offset]
    at = 0
    while at + 4 <= len(extra):
        kind, length = (int.from_bytes(extra[at + n : at + n + 2], "little") for n in (0, 2))
        if kind == 1:
            place = at + 4
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF and place + 8 <= at + 4 + length:
                    values[index] = int.from_bytes(extra[place : place + 8], "little")
                    place += 8
        at += 4 + length
    return values[0], values[1], values[2]
