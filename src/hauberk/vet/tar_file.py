"""TAR archives, read forward; also PyTorch's oldest checkpoints and NeMo files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.paths import escapes
from hauberk.vet.source import Inflated, Part

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_BLOCK = 512
_LONGEST_NAME = 1 << 16
_PAX_PATH = re.compile(rb"\d+ (?:link)?path=([^\n]*)\n")
_RAW = re.compile(r"(.*/)?(storages|tensors|data)(/.*)?\Z")


def vet_tar(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine every member; names that leave the folder are critical."""
    at, longer = 0, b""
    size = None if isinstance(source, Inflated) else source.size
    while len(head := source.read(at, _BLOCK)) == _BLOCK and head.strip(b"\0"):
        case.enter()
        length = _number(head[124:136])
        kind = head[156:157]
        if not _sound(head) or length < 0 or (size is not None and at + _BLOCK + length > size):
            case.find("HB-V006", "the archive is broken", f"{where}@{at}")
            case.gap("the rest of the archive was not read", where)
            return
        body = Part(source, at + _BLOCK, length)
        at += _BLOCK + -(-length // _BLOCK) * _BLOCK
        if kind in b"LKxgX" and kind:
            longer = _longer(kind, body.read(0, min(length, _LONGEST_NAME))) or longer
            continue
        name = (longer or _name(head)).decode("utf-8", "backslashreplace").rstrip("\0")
        longer = b""
        _member(kind, head, name, case, where)
        if kind in {b"0", b"\0", b"7", b"S"} and length:
            inside = f"{where}!{name[-200:]}"
            if case.inspect(body, case, inside, depth + 1) == "unknown" and not _RAW.match(name):
                case.find("HB-V017", "a member is of no known format", inside)
                case.partial = True
    rest = source.read(at, _BLOCK)
    if rest and rest.strip(b"\0"):
        case.find("HB-V006", "the archive ends within a member", where)


def _member(kind: bytes, head: bytes, name: str, case: Case, where: str) -> None:
    target = head[157:257].rstrip(b"\0").decode("utf-8", "backslashreplace")
    if escapes(name):
        message = f"a member leaves the folder: {name[:120]}"
        case.find("HB-V006", message, where, Severity.CRITICAL)
    if kind in {b"1", b"2"}:
        leaves = target.startswith("/") or target.count("..") > name.count("/")
        severity = Severity.CRITICAL if leaves else Severity.HIGH
        case.find("HB-V006", f"a member is a link to {target[:120]}", f"{where}!{name}", severity)
    elif kind in {b"3", b"4", b"6"}:
        case.find("HB-V006", "a member is a device", f"{where}!{name}")


def _name(head: bytes) -> bytes:
    name, prefix = head[:100].rstrip(b"\0"), head[345:500].rstrip(b"\0")
    return prefix + b"/" + name if prefix and head[257:263] == b"ustar\0" else name


def _longer(kind: bytes, body: bytes) -> bytes:
    """The long name that an extra header brings."""
    if kind == b"L":
        return body.rstrip(b"\0")
    match = _PAX_PATH.search(body)
    return match[1] if match else b""


def _number(field: bytes) -> int:
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits, 8) if re.fullmatch(rb"[0-7]*", digits) and digits else (-1 if digits else 0)


def _sound(head: bytes) -> bool:
    return sum(head[:148]) + 8 * 32 + sum(head[156:]) == _number(head[148:156])
