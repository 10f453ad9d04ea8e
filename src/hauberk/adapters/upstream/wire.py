"""Protocol buffers on the wire: fields in and out, no more than inference messages need.

Written against the encoding guide of protobuf: a tag is ``number << 3 | kind``; a field that is
given twice takes its last value, an unknown one is passed over. Bytes are not copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview
_MOST_FIELDS = 100_000
_SINGLE = [bytes([value]) for value in range(128)]


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Numbers and values of a message's fields in order; fixed ones as their bytes.

    Raises:
        DataError: if the bytes are no message.
    """
    at, end, count = 0, len(data), 0
    while at < end:
        count += 1
        if count > _MOST_FIELDS:
            raise DataError("the message has too many fields")
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise _broken()
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise _broken()
        if size > end - at:
            raise _broken()
        yield number, data[at : at + size]
        at += size


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at a place, up to 64 bits, and the place after it."""
    if at < len(data) and data[at] < 128:  # most are one byte
        return data[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _broken()
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise _broken()


def varints(value: Value) -> list[int]:
    """The numbers of a repeated field: one, or packed."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(number)
    return found


def signed(value: int) -> int:
    """A 64-bit number as int64 or int32 means it."""
    return value - (1 << 64) if value >> 63 else value


def text(value: Value, *, most: int = 256) -> str:
    """A string of at most ``most`` bytes.

    Raises:
        DataError: if it is longer, or not UTF-8.
    """
    if isinstance(value, int) or len(value) > most:
        raise _broken()
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise _broken() from None


def message(value: Value) -> memoryview:
    """A field that must be a message or bytes."""
    if isinstance(value, int):
        raise _broken()
    return value


def put(number: int, value: str | bytes | int) -> bytes:
    """One field; what is empty or zero is left out, as proto3 does."""
    if isinstance(value, int):
        return b"" if not value else number_of(number << 3) + number_of(value)
    data = value.encode() if isinstance(value, str) else value
    return put_always(number, data) if data else b""


def put_always(number: int, data: bytes) -> bytes:
    """One message or bytes field, even if it is empty: an element of a repeated one."""
    return opening(number, len(data)) + data


def opening(number: int, size: int) -> bytes:
    """What stands before the bytes of such a field."""
    return number_of(number << 3 | BYTES) + number_of(size)


def number_of(value: int) -> bytes:
    """A number as varint; negative ones as 64 bits."""
    if 0 <= value < 128:
        return _SINGLE[value]
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def packed(values: Iterable[int]) -> bytes:
    """Numbers of a packed repeated field."""
    return b"".join(map(number_of, values))


def _broken() -> DataError:
    return DataError("not a message of the protocol")
