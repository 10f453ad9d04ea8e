"""Compressed files: what is inside is examined as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.vet.source import Memory, Part
from hauberk.vet.unpack import opened

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_RANDOM_ACCESS = (b"PK\x03\x04", b"7z\xbc\xaf", b"\x89HDF")


def vet_compressed(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine the plain bytes of gzip, bzip2, xz, zlib or joblib's old zlib file."""
    head = source.read(0, 32)
    name = "xz"
    if head[:2] == b"\x1f\x8b":
        name = "gzip"
    elif head[:3] == b"BZh":
        name = "bzip2"
    elif head[:2] == b"ZF":
        name, source = "zlib", _old_joblib(head, source)
    elif head[:1] == b"\x78":
        name = "zlib"
    plain = opened(name, source, case)
    if plain.read(0, 8).startswith(_RANDOM_ACCESS):
        whole = plain.read(0, case.limits.memory + 1)
        if len(whole) > case.limits.memory:
            case.gap("a compressed archive is too large to be held", where)
            return
        plain = Memory(whole)
    if case.inspect(plain, case, f"{where}!plain", depth + 1) == "unknown":
        case.find("HB-V017", "what is compressed is of no known format", where)
        case.partial = True


def _old_joblib(head: bytes, source: Source) -> Source:
    """Joblib before 0.10: ``ZF``, the length in hex padded to 19 characters, zlib."""
    start = 21 if head[21:22] == b"\x78" else 22
    return Part(source, start, max(0, source.size - start))
