"""ZIP archives, and so PyTorch, Keras, NumPy and TorchScript files: every member is examined."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.case import Broken
from hauberk.vet.paths import escapes
from hauberk.vet.pickle_file import broken_storage, carve
from hauberk.vet.source import Buffered, Memory, Part
from hauberk.vet.unpack import METHODS, unpacked
from hauberk.vet.zip_directory import Entry, Local, entries, find_directory, local_header

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source
    from hauberk.vet.zip_directory import Directory

_STORAGE = re.compile(rb"(.*/)?(data|tensors|constants|storages)/\d+\Z")
_TORCH_DATA = re.compile(r"(.*/)?data/(weights|constants|aotinductor|sample_inputs)/\w+\Z")
_MARKS = (b"PK\x03\x04", b"\x89HDF", b"GGUF", b"7z\xbc\xaf", b"\x7fELF")
_SYMLINK = 0o120000
_CHECKED = 1 << 23  # members up to this size have their checksum verified
_CARVED = 1 << 26  # how far a broken archive is searched for calls
_MOST_BROKEN = 8  # broken archives within each other multiply the work
_SLACK = 24  # a data descriptor may follow a member


def vet_zip(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine every member, and what the two halves of the archive say about it."""
    near = Buffered(source)
    try:
        directory = find_directory(near)
    except Broken as error:
        case.find("HB-V006", f"the archive is broken: {error}", where)
        directory = None
    if directory is None:
        _without_directory(near, case, where, depth)
        return
    if directory.shift:
        case.find("HB-V005", f"{directory.shift:,} bytes stand before the archive", where)
        case.inspect(Part(source, 0, directory.shift), case, f"{where}!prefix", depth + 1)
    reader = _Reader(near, case, where, depth, directory)
    try:
        reader.run()
    except Broken as error:
        case.find("HB-V006", f"the archive is broken: {error}", where)
        case.gap("not every member was read", where)
        _without_directory(near, case, where, depth)


class _Reader:
    """Goes through one archive in the order of its directory."""

    def __init__(
        self, source: Source, case: Case, where: str, depth: int, directory: Directory
    ) -> None:
        self.source, self.case, self.where, self.depth = source, case, where, depth
        self.directory = directory
        self.next = directory.shift
        self.seen: set[bytes] = set()
        self.gaps: list[tuple[int, int]] = []

    def run(self) -> None:
        for entry in entries(self.source, self.directory):
            self.case.enter()
            if entry.name in self.seen:
                self._find("two members have the same name", entry.name)
            self.seen.add(entry.name)
            self._member(entry)
        if len(self.seen) != self.directory.count and not self.case.findings:
            self._find("the directory announces another number of members", b"")
        self.gaps.append((self.next, self.directory.at))
        for start, end in self.gaps[:64]:
            if end - start > 4 and b"PK\x03\x04" in self.source.read(
                start, min(end - start, 1 << 22)
            ):
                self._find("it holds members that the directory does not list", b"")
                _without_directory(
                    Part(self.source, start, end - start), self.case, self.where, self.depth
                )

    def _member(self, entry: Entry) -> None:
        local = local_header(self.source, entry.at)
        if not self.next <= entry.at <= self.next + _SLACK:
            self.gaps.append((self.next, entry.at))
        self.next = max(self.next, local.data + entry.packed)
        if local.name != entry.name:
            self._find("header and directory name a member differently", entry.name)
        if entry.name[-1:] == b"/" and not entry.packed:
            self._named(entry, local)
            return
        if self._plain_storage(entry, local):
            return
        self._compare(entry, local)
        self._named(entry, local)
        name = entry.name.decode("utf-8", "backslashreplace")
        body = Part(self.source, local.data, entry.packed)
        self._examine(entry.method, entry.size, body, name, entry.crc)
        lies = not local.flags & 8 and (local.packed, local.size) != (entry.packed, entry.size)
        if lies or (local.method != entry.method and local.method in METHODS):
            body = Part(self.source, local.data, local.packed)
            self._examine(local.method, local.size, body, name, None)

    def _plain_storage(self, entry: Entry, local: Local) -> bool:
        """Numbers of a tensor: no loader reads them as anything else."""
        if entry.method or entry.flags & 0x41 or not _STORAGE.match(entry.name):
            return False
        if entry.packed != entry.size or local.method or local.name != entry.name:
            return False
        head = self.source.read(local.data, min(16, entry.size))
        if head[:1] == b"\x80" or head[:1] in {b"c", b"("}:
            return broken_storage(Part(self.source, local.data, entry.packed), self.case)
        return not head.startswith(_MARKS)

    def _compare(self, entry: Entry, local: Local) -> None:
        if (entry.flags | local.flags) & 0x2041:
            self._find("a member claims to be encrypted", entry.name)
        if local.method != entry.method:
            self._find("header and directory pack a member differently", entry.name)
        streamed = local.flags & 8 or entry.flags & 8
        if not streamed and (local.packed, local.size) != (entry.packed, entry.size):
            self._find("header and directory give a member different sizes", entry.name)
        if entry.size > (100 << 20) and entry.size > 200 * max(1, entry.packed):
            self.case.find("HB-V007", "a member claims to unpack to 200 times its size", self.where)

    def _named(self, entry: Entry, local: Local) -> None:
        name = entry.name.decode("utf-8", "backslashreplace")
        if escapes(name):
            self.case.find(
                "HB-V006",
                f"a member leaves the folder: {name[:120]}",
                self.where,
                Severity.CRITICAL,
            )
        if entry.mode & 0o170000 == _SYMLINK:
            self._find("a member is a symbolic link", entry.name)
            target = (
                self.source.read(local.data, min(entry.packed, 4096)) if not entry.method else b""
            )
            if escapes(target.decode("utf-8", "replace")):
                message = "a member is a link that leaves the folder"
                self.case.find("HB-V006", message, self.where, Severity.CRITICAL)

    def _examine(self, method: int, size: int, body: Source, name: str, crc: int | None) -> None:
        where = f"{self.where}!{name[-200:]}"
        plain = unpacked(method, body, self.case)
        if plain is None:
            self.case.gap(f"packed by method {method}, which is not read here", where)
            return
        if crc is not None and size <= _CHECKED:
            data = plain.read(0, size + 1)
            if zlib.crc32(data) != crc:
                self._find("a member's checksum is wrong", name.encode())
            plain = Memory(data)
        kind = self.case.inspect(plain, self.case, where, self.depth + 1)
        if kind == "unknown" and not _TORCH_DATA.match(name):
            self.case.find("HB-V017", "a member is of no known format", where)
            self.case.partial = True

    def _find(self, message: str, name: bytes) -> None:
        shown = name[-120:].decode("utf-8", "backslashreplace")
        self.case.find("HB-V006", message, f"{self.where}!{shown}" if shown else self.where)


def _without_directory(source: Source, case: Case, where: str, depth: int) -> None:
    """No directory to go by: follow the headers of the members."""
    case.find("HB-V006", "the archive has no sound directory", where)
    case.gap("members were looked for by their headers", where)
    case.broken_archives += 1
    if case.broken_archives > _MOST_BROKEN:
        return
    at, size = 0, source.size
    carve(Part(source, 0, min(size, _CARVED)), 0, case, where)
    while at < size:
        piece = source.read(at, 1 << 20)
        here = piece.find(b"PK\x03\x04")
        if here < 0:
            at += max(1, len(piece) - 3) if len(piece) > 4 else size
            continue
        at += here
        case.enter()
        try:
            local = local_header(source, at)
        except Broken:
            at += 4
            continue
        name = local.name.decode("utf-8", "backslashreplace")
        end = local.data + local.packed
        if not local.data < end <= size:
            end = _next_header(source, local.data, size)
        length = end - local.data
        plain = unpacked(local.method, Part(source, local.data, length), case)
        if plain is not None:
            case.inspect(plain, case, f"{where}!{name[-200:]}", depth + 1)
        at = max(end, at + 4)


def _next_header(source: Source, start: int, size: int) -> int:
    """Where the next member begins, or the end, for a member of unknown length."""
    at = start
    while at < size:
        piece = source.read(at, (1 << 20) + 3)
        found = min(
            (n for n in map(piece.find, (b"PK\x03\x04", b"PK\x01\x02")) if n >= 0), default=-1
        )
        if found >= 0:
            return at + found
        at += 1 << 20
    return size
