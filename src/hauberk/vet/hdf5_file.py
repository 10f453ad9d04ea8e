"""HDF5, and so Keras H5: the model's configuration, and links that lead outside.

The configuration is searched for: attributes lie uncompressed, whatever structure refers to them.
Source: HDF5 file format specification 3.0, sections IV.A.2 (messages) and III.E (global heap).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.hdf5_tree import vet_tree
from hauberk.vet.keras_config import vet_config_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_CHUNK, _OVERLAP = 1 << 22, 1 << 10
_LONGEST = 8 << 20
_MOST_TRIES = 256
# Every configuration holds the first, unless a letter of it is written as the second.
_MARKS = (b"class_name", b"\\u00")
_CONFIGURED = b"model_config"
_OPENING = re.compile(rb'\{\s*"')


def vet_hdf5(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine every configuration that the file holds, and where its data comes from."""
    vet_tree(source, case, where)
    read = False
    tries = 0
    for at, piece in _pieces(source):
        for mark in _MARKS:
            here = piece.find(mark)
            while here >= 0:
                tries += 1
                if tries > _MOST_TRIES:
                    case.gap("more places that look like a configuration than are read", where)
                    return
                end = _configuration(source, at + here, case, where)
                read = read or end is not None
                here = piece.find(mark, max(here + 1, (end or 0) - at))
    if not read and any(_CONFIGURED in piece for _, piece in _pieces(source)):
        case.gap("the configuration of the model was not found", where)


def _pieces(source: Source) -> Iterator[tuple[int, bytes]]:
    at = 0
    while piece := source.read(at, _CHUNK + _OVERLAP):
        yield at, piece
        at += _CHUNK


def _configuration(source: Source, place: int, case: Case, where: str) -> int | None:
    """The text of JSON around a place: read whole; where it ends, None if there is none."""
    start = max(0, place - (1 << 16))
    before = source.read(start, place - start)
    opening = None
    for match in _OPENING.finditer(before[before.rfind(b"\0") + 1 :]):
        opening = start + before.rfind(b"\0") + 1 + match.start()
        break
    if opening is None:
        return None
    text = _to_zero(source, opening)
    end = len(text)
    if not vet_config_text(_balanced(text[:end]), case, where):
        if re.search(rb'"class_name"\s*:\s*"Lambda"', text[:end]):
            case.find("HB-V009", "a Lambda layer brings code of its own", where, Severity.HIGH)
        case.gap("a configuration that is not sound JSON", where)
    return opening + end


def _to_zero(source: Source, at: int) -> bytes:
    """The bytes from a place up to the next zero."""
    text, step = b"", 1 << 12
    while piece := source.read(at + len(text), step):
        end = piece.find(b"\0")
        text += piece if end < 0 else piece[:end]
        if end >= 0 or len(text) > _LONGEST:
            break
        step *= 2
    return text


_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}]', re.DOTALL)


def _balanced(text: bytes) -> bytes:
    """The text up to the brace that closes its first one."""
    depth = 0
    for match in _TOKENS.finditer(text):
        if match[0] in {b"{", b"}"}:
            depth += 1 if match[0] == b"{" else -1
            if not depth:
                return text[: match.end()]
    return text
