"""What a file is, by its content; its name is never asked."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING

from hauberk.vet.pickle_file import is_pickle

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

HEAD = 4096
_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"PK\x01\x02", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x5d\0\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"ZF0x", "joblib-old"),
    (b"Rar!", "rar"),
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"GGUF", "gguf"),
    (b"FUGG", "gguf"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"\xfe\xed\xfa\xce", "program"),
    (b"\xfe\xed\xfa\xcf", "program"),
    (b"\xcf\xfa\xed\xfe", "program"),
    (b"\xca\xfe\xba\xbe", "program"),
    (b"\0asm", "program"),
    (b"#!", "program"),
    (b"\x89PNG\r\n\x1a\n", "media"),
    (b"\xff\xd8\xff", "media"),
    (b"GIF8", "media"),
    (b"%PDF-", "media"),
    (b"RIFF", "media"),
    (b"{L\0\0\0\0\0\0\0\x07learner", "trees"),  # XGBoost's binary JSON
    (b"CBM1", "trees"),  # CatBoost
    (b"PAR1", "table"),
    (b"ARROW1", "table"),
)
# A bracket before a word is a table of TOML.
_JSON = re.compile(rb"\s*(\{|\[+[\s\[]*(\Z|[\]{\"\d-]|(true|false|null|NaN|Infinity)\b))")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def sniff(source: Source, case: Case) -> str:
    """The kind of a source, ``unknown`` if its content fits none."""
    head = source.read(0, HEAD)
    if not head:
        return "empty"
    for mark, kind in _MARKS:
        if head.startswith(mark):
            return kind
    return _framed(head, source, case) or _unmarked(head, source, case)


def _framed(head: bytes, source: Source, case: Case) -> str:
    """Formats whose mark stands further in, or is a length."""
    if head[257:262] == b"ustar" or _old_tar(head):
        return "tar"
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return "safetensors"
    if head[0] == 0x80 and len(head) > 1 and (head[1] <= 5 or is_pickle(source, case)):
        return "pickle"
    later = any(source.read(at, 8) == b"\x89HDF\r\n\x1a\n" for at in (512, 1024, 2048))
    return "hdf5" if later else ""


def _unmarked(head: bytes, source: Source, case: Case) -> str:
    if is_pickle(source, case):
        return "pickle"
    if head[0] == 0x78 and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "zlib"
    if not _CONTROL.search(head):
        return _text(head)
    if head[:2] == b"\0\0" and _idx(head, source):
        return "idx"
    if _pieces(head):
        return "tokenizer"
    from hauberk.vet.protobuf import looks_like  # noqa: PLC0415 - only where nothing else fits

    return looks_like(source) or "unknown"


def _text(head: bytes) -> str:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < len(head) - 4:
            return "unknown"
    return "json" if _JSON.match(head) else "text"


def _pieces(head: bytes) -> bool:
    """A SentencePiece model: messages of a text and a number, which no graph begins with."""
    size = head[1] if len(head) > 3 else 0
    text = head[3] if len(head) > 3 else 0
    number = 4 + text
    return (
        head[:1] == b"\n"
        and head[2:3] == b"\n"
        and 0 < text < 64
        and size in {text + 7, text + 9}
        and head[number : number + 1] == b"\x15"
        and head[2 + size : 3 + size] == b"\n"
    )


def _idx(head: bytes, source: Source) -> bool:
    """The numbers of MNIST: a type, dimensions, then as many values as they say."""
    width = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}.get(head[2] if len(head) > 4 else 0, 0)
    if not width:
        return False
    shape = [int.from_bytes(head[4 + 4 * n : 8 + 4 * n], "big") for n in range(head[3] & 7)]
    size = 4 + 4 * len(shape) + prod(shape) * width
    return bool(shape) and size < 1 << 30 and source.size == size


def _old_tar(head: bytes) -> bool:
    """Archives from before POSIX have no mark, but a checksum."""
    field = head[148:156].strip(b" \0")
    if len(head) < 512 or not field or not re.fullmatch(rb"[0-7]{1,7}", field) or not head[0]:
        return False
    return sum(head[:148]) + 8 * 32 + sum(head[156:512]) == int(field, 8)
