"""LZ4 frames, which joblib may write: small ones are unpacked here, others are for review.

Source: the LZ4 frame and block format descriptions, version 1.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.vet.case import Broken
from hauberk.vet.source import Memory

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_MOST = 4 << 20


def vet_lz4(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine what a frame holds."""
    if source.size > _MOST:
        case.gap("an LZ4 file this large is not opened here", where)
        return
    plain = _frame(source.read(0, _MOST), case)
    if case.inspect(Memory(plain), case, f"{where}!plain", depth + 1) == "unknown":
        case.find("HB-V017", "what is compressed is of no known format", where)
        case.partial = True


def _frame(data: bytes, case: Case) -> bytes:
    flags = data[4] if len(data) > 6 else 0
    if flags >> 6 != 1:
        raise Broken("an LZ4 frame of an unknown version")
    at = 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    out = bytearray()
    while True:
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if not size:
            return bytes(out)
        length = size & 0x7FFFFFFF
        block = data[at : at + length]
        if len(block) < length:
            raise Broken("an LZ4 frame ends early")
        if size >> 31:
            out += block
        else:
            before = len(out)
            _block(block, out)
            case.inflate(len(out) - before)
        at += length + (4 if flags & 16 else 0)


def _block(data: bytes, out: bytearray) -> None:
    at = 0
    while at < len(data):
        token = data[at]
        length, at = _length(data, at + 1, token >> 4)
        out += data[at : at + length]
        at += length
        if at >= len(data):
            return
        back = int.from_bytes(data[at : at + 2], "little")
        length, at = _length(data, at + 2, token & 15)
        length += 4
        if not 0 < back <= len(out) or len(out) > 16 * _MOST:
            raise Broken("an LZ4 block refers to what is not there")
        piece = out[-back:] if back >= length else out[-back:] * (length // back + 1)
        out += piece[:length]


def _length(data: bytes, at: int, start: int) -> tuple[int, int]:
    if start < 15:
        return start, at
    while True:
        if at >= len(data):
            raise Broken("an LZ4 block ends early")
        start += data[at]
        at += 1
        if data[at - 1] < 255:
            return start, at
