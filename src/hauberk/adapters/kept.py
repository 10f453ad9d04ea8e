"""How records and cells of a guard state are kept, whatever keeps them."""

from __future__ import annotations

import msgspec

from hauberk.core.errors import UserError
from hauberk.core.record import Record

LARGEST = 16 * 2**20
"""Bytes of a cell: more than what all monitors of a watch may have learned."""
FORGET = 7 * 86400
"""Seconds after which a log that told nothing is no longer known."""
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Record).decode


def check_size(name: str, data: bytes) -> None:
    """Refuse what is too large for a cell.

    Raises:
        UserError: if it is.
    """
    if len(data) > LARGEST:
        raise UserError(f"{len(data)} bytes are too many for a cell", where=name)


def packed(record: Record) -> bytes:
    """A record as it is kept."""
    return _ENCODE(record)


def numbered(seq: int, data: bytes) -> Record:
    """A kept record with the number that it was given."""
    return msgspec.structs.replace(_DECODE(data), seq=seq)
