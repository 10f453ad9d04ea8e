"""Protocol buffers without their schema: fields in order, big ones passed over unread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.vet.case import Broken
from hauberk.vet.source import Buffered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.source import Source

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MOST = 3_000_000
Field = tuple[int, int, int, int]  # number, wire type, value or start, length


def fields(source: Source, start: int, end: int) -> Iterator[Field]:
    """The fields of one message; for bytes, where they start and how long they are.

    Raises:
        Broken: if the bytes are no message.
    """
    at, count = start, 0
    while at < end:
        count += 1
        if count > _MOST:
            raise Broken("more fields than a model has")
        head = source.read(at, 24)
        key, used = _varint(head, 0)
        number, wire = key >> 3, key & 7
        if not number:
            raise Broken("field 0 does not exist")
        if wire == VARINT:
            value, used = _varint(head, used)
            yield number, wire, value, 0
        elif wire == BYTES:
            length, used = _varint(head, used)
            if at + used + length > end:
                raise Broken("a field reaches behind its message")
            yield number, wire, at + used, length
            used += length
        elif wire in {FIXED64, FIXED32}:
            width = 8 if wire == FIXED64 else 4
            yield number, wire, int.from_bytes(head[used : used + width], "little"), 0
            used += width
        else:
            raise Broken(f"wire type {wire} is not used")
        at += used
    if at != end:
        raise Broken("a message ends within a field")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Broken("a number without an end")


def packed(data: bytes) -> list[int]:
    """The numbers of a packed field."""
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found


def looks_like(source: Source) -> str:
    """Which model format a message without a mark has; empty if it is none of them."""
    near = Buffered(source)
    kinds: dict[int, int] = {}
    try:
        for number, wire, _, _ in fields(near, 0, source.size):
            kinds.setdefault(number, wire)
            if len(kinds) > 40:
                return ""
    except Broken:
        return _begun(kinds)
    numbers = set(kinds)
    if (
        kinds.get(1) == VARINT
        and kinds.get(7) == BYTES
        and numbers <= {*range(1, 9), 14, 20, 25, 26}
    ):
        return "onnx"
    if kinds.get(1) == VARINT and kinds.get(2) == BYTES and numbers <= {1, 2}:
        return "saved-model"
    if kinds.get(1) == BYTES and numbers <= {1, 2, 3, 4} and kinds.get(4, BYTES) == BYTES:
        return "graph-def"
    return ""


def _begun(kinds: dict[int, int]) -> str:
    """A message that breaks off after a sound beginning is still to be examined."""
    return "onnx" if kinds.get(1) == VARINT and kinds.get(7) == BYTES else ""
