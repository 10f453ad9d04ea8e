"""safetensors: a length, a header in JSON, then numbers; the header may lie.

Source: the format's own specification (huggingface/safetensors, README, "Format").
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

from hauberk.vet.case import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_LONGEST = 100_000_000
_PARSED = 4 << 20
_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16,
    "BF16": 16, "I16": 16, "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8, "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_TENSOR = re.compile(
    rb'\s*"((?:[^"\\\x00-\x1f]|\\.){1,1024})"\s*:\s*\{\s*"dtype"\s*:\s*"(\w+)"\s*,\s*"shape"\s*:\s*'
    rb'\[([\d,\s]*)\]\s*,\s*"data_offsets"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*\]\s*\}\s*(,|\}\s*\Z)'
)
_METADATA = re.compile(
    rb'\s*"__metadata__"\s*:\s*\{(?:[^{}"]|"(?:[^"\\]|\\.)*+")*+\}\s*(,|\}\s*\Z)'
)
Tensor = tuple[int, int, int]  # begin, end, declared bytes


def vet_safetensors(source: Source, case: Case, where: str, depth: int) -> None:
    """Check the header against the file."""
    try:
        _check(source)
    except Broken as error:
        case.find("HB-V012", str(error), where)


def _check(source: Source) -> None:
    size = source.size
    length = int.from_bytes(source.read(0, 8), "little")
    if length > _LONGEST:
        raise Broken(f"a header of {length:,} bytes")
    if 8 + length > size:
        raise Broken("the header reaches behind the end of the file")
    header = source.read(8, length)
    tensors = _parsed(header) if length <= _PARSED else _matched(header)
    end = _fill(tensors, {})
    if 8 + length + end != size:
        raise Broken("the tensors do not fill the file")


def _fill(tensors: Iterable[Tensor], waiting: dict[int, list[int]]) -> int:
    """Where the last tensor ends, if each begins where another ended.

    Those that stand out of order wait for their turn, by where they begin.
    """
    at = 0
    for begin, end, declared in tensors:
        if end - begin != declared:
            raise Broken("a tensor's offsets do not fit its shape")
        waiting.setdefault(begin, []).append(end)
        while at in waiting:
            ends = waiting.pop(at)
            if len(ends) > 1 and sum(one > at for one in ends) > 1:
                raise Broken("tensors overlap")
            at = max(ends)
    if waiting:
        first = min(waiting)
        raise Broken("tensors overlap" if first < at else "there is a hole between tensors")
    return at


def _matched(header: bytes) -> Iterator[Tensor]:
    """The tensors of a long header, one at a time, so that memory stays bounded."""
    if header[:1] != b"{":
        raise Broken("the header is not an object of JSON")
    names: set[bytes] = set()
    at, closed = 1, header[1:].strip() == b"}"
    while at < len(header) and not closed:
        match = _TENSOR.match(header, at)
        if match is None:
            match = _METADATA.match(header, at)
            if match is None:
                raise Broken("the header is not written as the format's own writers do")
        else:
            name = match[1]
            if name in names:
                raise Broken("two tensors have the same name")
            names.add(name)
            yield _tensor(match[2].decode(), [int(n) for n in match[3].split(b",") if n.strip()],
                          [int(match[4]), int(match[5])])  # fmt: skip
        at, closed = match.end(), match[0].rstrip().endswith(b"}") and match.end() == len(header)
    if not closed:
        raise Broken("the header is not closed")


def _parsed(header: bytes) -> list[Tensor]:
    import json  # noqa: PLC0415 - only for files of this format

    try:
        tree = json.loads(header.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Broken(f"the header is not sound JSON: {str(error)[:80]}") from None
    if not isinstance(tree, dict):
        raise Broken("the header is not an object of JSON")
    metadata = tree.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise Broken("the metadata holds more than texts")
    tensors = []
    for entry in tree.values():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise Broken("a tensor is not described by dtype, shape and data_offsets")
        tensors.append(_tensor(entry["dtype"], entry["shape"], entry["data_offsets"]))
    return tensors


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Broken("a key stands twice in the header")
    return found


def _tensor(dtype: Any, shape: Any, offsets: Any) -> Tensor:
    if dtype not in _BITS:
        raise Broken(f"unknown type {str(dtype)[:40]}")
    numbers = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) else [-1]
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers) or len(offsets) != 2:
        raise Broken("shape or offsets are not whole numbers")
    return offsets[0], offsets[1], prod(shape) * _BITS[dtype] // 8
