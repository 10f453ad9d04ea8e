"""7z archives, as far as one coder packed a folder: copy, LZMA, LZMA2, deflate or bzip2.

Source: ``7zFormat.txt`` of the LZMA SDK.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.case import Broken
from hauberk.vet.paths import escapes
from hauberk.vet.source import Part
from hauberk.vet.unpack import opened, raw_lzma

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_MOST = 1 << 16
_END, _HEADER, _STREAMS, _FILES, _PACK, _UNPACK, _SUB, _SIZE, _CRC, _FOLDER, _SIZES, _COUNT = (
    0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
)  # fmt: skip
# Filters for machine code, by the number that xz gives them.
_BRANCHES = {
    b"\x03\x03\x01\x03": 4, b"\x03\x03\x02\x05": 5, b"\x03\x03\x04\x01": 6,
    b"\x03\x03\x05\x01": 7, b"\x03\x03\x07\x01": 8, b"\x03\x03\x08\x05": 9,
}  # fmt: skip
_EMPTY, _NAMES, _ENCODED = 14, 17, 23


Coder = tuple[bytes, bytes]  # method and properties


@dataclass(kw_only=True)
class _Streams:
    start: int = 0
    packed: list[int] = field(default_factory=list)
    chains: list[list[Coder]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    parts: list[list[int]] = field(default_factory=list)


def vet_seven(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine every member."""
    try:
        head = source.read(0, 32)
        at, length = (int.from_bytes(head[n : n + 8], "little") for n in (12, 20))
        if length > 1 << 24:
            raise Broken("a header out of proportion")
        header = _Bytes(source.read(32 + at, length))
        if header.byte() == _ENCODED:
            streams = _streams(header)
            plain = _folder(source, streams, 0, case)
            header = _Bytes(plain.read(0, min(streams.sizes[0], 1 << 24)))
            header.byte()
        _members(source, header, case, where, depth)
    except (Broken, IndexError) as error:
        case.gap(f"the archive cannot be read: {error}", where)


def _members(source: Source, header: _Bytes, case: Case, where: str, depth: int) -> None:
    streams, names = _Streams(), []
    while (kind := header.byte()) != _END:
        if kind == _STREAMS:
            streams = _streams(header)
        elif kind == _FILES:
            names = _names(header)
        else:
            raise Broken("a header with parts that are not read here")
    for name in names:
        if escapes(name):
            case.find(
                "HB-V006", f"a member leaves the folder: {name[:120]}", where, Severity.CRITICAL
            )
    number = 0
    for index, sizes in enumerate(streams.parts):
        plain, at = _folder(source, streams, index, case), 0
        for size in sizes:
            case.enter()
            name = names[number] if len(names) == sum(map(len, streams.parts)) else str(number)
            case.inspect(Part(plain, at, size), case, f"{where}!{name[-200:]}", depth + 1)
            at += size
            number += 1


def _folder(source: Source, streams: _Streams, index: int, case: Case) -> Source:
    chain = streams.chains[index]
    start = 32 + streams.start + sum(streams.packed[:index])
    body = Part(source, start, streams.packed[index])
    method, properties = next((one for one in chain if one[0] not in _BRANCHES), chain[0])
    branches = [_BRANCHES[one[0]] for one in chain if one[0] in _BRANCHES]
    if method in {b"\x03\x01\x01", b"\x21"}:
        return raw_lzma(properties, body, 0, case, two=method == b"\x21", after=branches)
    if branches or len(chain) > 1:
        raise Broken("a chain of coders that is not read here")
    if method == b"\0":
        return body
    name = {b"\x04\x01\x08": "deflate", b"\x04\x02\x02": "bzip2"}.get(method)
    if name is None:
        raise Broken(f"packed by method {method.hex()}, which is not read here")
    return opened(name, body, case)


class _Bytes:
    """A header, byte by byte."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise Broken("a header that ends early")
        self.at += count
        return piece

    def number(self) -> int:
        first = self.byte()
        more = 0
        while more < 8 and first & (0x80 >> more):
            more += 1
        low = int.from_bytes(self.take(more), "little")
        return low | (first & (0x7F >> more)) << (8 * more)

    def numbers(self, count: int) -> list[int]:
        return [self.number() for _ in range(count)]

    def count(self) -> int:
        found = self.number()
        if found > _MOST:
            raise Broken("a count out of proportion")
        return found

    def digests(self, count: int) -> list[bool]:
        defined = [True] * count if self.byte() else self.bits(count)
        self.take(4 * sum(defined))
        return defined

    def bits(self, count: int) -> list[bool]:
        raw = self.take(-(-count // 8))
        return [bool(raw[n // 8] & (0x80 >> n % 8)) for n in range(count)]


def _streams(header: _Bytes) -> _Streams:
    found = _Streams()
    while (kind := header.byte()) != _END:
        if kind == _PACK:
            _pack(header, found)
        elif kind == _UNPACK:
            _unpack(header, found)
        elif kind == _SUB:
            _parts(header, found)
        else:
            raise Broken("streams with parts that are not read here")
    found.parts = found.parts or [[size] for size in found.sizes]
    return found


def _pack(header: _Bytes, found: _Streams) -> None:
    found.start = header.number()
    count = header.count()
    while (kind := header.byte()) != _END:
        if kind == _SIZE:
            found.packed = [header.number() for _ in range(count)]
        elif kind == _CRC:
            header.digests(count)


def _unpack(header: _Bytes, found: _Streams) -> None:
    if header.byte() != _FOLDER:
        raise Broken("no folders")
    count = header.count()
    if header.byte():
        raise Broken("folders that are kept elsewhere")
    outputs = []
    for _ in range(count):
        chain = [_coder(header) for _ in range(header.count())]
        if not 1 <= len(chain) <= 2:
            raise Broken("a folder of many coders")
        outputs.append(len(chain))
        header.take(2 * (len(chain) - 1))  # which coder feeds which: with two there is no choice
        found.chains.append(chain)
    if header.byte() != _SIZES:
        raise Broken("no sizes")
    found.sizes = [header.numbers(n)[0] for n in outputs]
    while (kind := header.byte()) != _END:
        if kind == _CRC:
            header.digests(count)


def _coder(header: _Bytes) -> Coder:
    flags = header.byte()
    method = header.take(flags & 15)
    if flags & 0x10:
        raise Broken("a coder of several streams")
    return method, header.take(header.count()) if flags & 0x20 else b""


def _parts(header: _Bytes, found: _Streams) -> None:
    kind = header.byte()
    counts = [1] * len(found.sizes)
    if kind == _COUNT:
        counts = [header.count() for _ in counts]
        kind = header.byte()
    found.parts = []
    for count, size in zip(counts, found.sizes, strict=True):
        first = [header.number() for _ in range(count - 1)] if kind == _SIZE else []
        found.parts.append([*first, size - sum(first)] if count else [])
    if kind == _SIZE:
        kind = header.byte()
    if kind == _CRC:
        known = len(found.sizes) if counts == [1] * len(counts) else 0
        header.digests(sum(counts) - known if known != sum(counts) else sum(counts))
        kind = header.byte()
    if kind != _END:
        raise Broken("parts that are not read here")


def _names(header: _Bytes) -> list[str]:
    count = header.count()
    names: list[str] = []
    empty = 0
    while (kind := header.byte()) != _END:
        size = header.number()
        end = header.at + size
        if kind == _EMPTY:
            empty = sum(header.bits(count))
        if kind == _NAMES and not header.byte():
            text = header.take(size - 1).decode("utf-16-le", "backslashreplace")
            names = text.split("\0")[:count]
        header.at = end
    return names if not empty else []
