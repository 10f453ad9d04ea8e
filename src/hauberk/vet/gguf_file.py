"""GGUF: keys and values, tensor descriptions, then numbers (ggml-org/ggml, ``docs/gguf.md``)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from hauberk.vet.case import Broken
from hauberk.vet.templates import template_reaches

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9
_MOST = 1 << 20
_KEPT = 1 << 20
_CHUNK = 1 << 18
# Type: elements and bytes of one block, for the types that ggml has kept.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip


def vet_gguf(source: Source, case: Case, where: str, depth: int) -> None:
    """Check the header against the file, and the templates that it brings."""
    try:
        _Reader(source, case, where).run()
    except Broken as error:
        case.find("HB-V013", str(error), where)


class _Reader:
    """Goes forward through the header."""

    def __init__(self, source: Source, case: Case, where: str) -> None:
        self.source, self.case, self.where = source, case, where
        self.size, self.at = source.size, 4
        self.window, self.base = b"", 0
        self.alignment = 32

    def run(self) -> None:
        version = self.number(4)
        if version not in {2, 3}:
            raise Broken(f"version {version} is not read")
        tensors, pairs = self.number(8), self.number(8)
        if tensors > _MOST or pairs > _MOST:
            raise Broken("it announces more keys or tensors than a model can have")
        seen: set[bytes] = set()
        for _ in range(pairs):
            key = self.text()
            if key in seen:
                raise Broken("a key stands twice")
            seen.add(key)
            self.pair(key, self.number(4))
        self.tensors(tensors)

    def tensors(self, count: int) -> None:
        ends = 0
        names: set[bytes] = set()
        for _ in range(count):
            name = self.text()
            if name in names:
                raise Broken("two tensors have the same name")
            names.add(name)
            dimensions = self.number(4)
            if dimensions > 8:
                raise Broken(f"a tensor of {dimensions} dimensions")
            shape = [self.number(8) for _ in range(dimensions)]
            kind, offset = self.number(4), self.number(8)
            if offset % self.alignment:
                raise Broken("a tensor begins off its alignment")
            elements, width = _BLOCKS.get(kind, (1, 0))
            ends = max(ends, offset + prod(shape) // elements * width)
        start = -(-self.at // self.alignment) * self.alignment
        if count and start + ends > self.size:
            raise Broken("tensors reach behind the end of the file")

    def pair(self, key: bytes, kind: int, depth: int = 0) -> None:
        if kind in _WIDTHS:
            value = self.number(_WIDTHS[kind])
            if key == b"general.alignment" and kind == 4:
                if value < 1 or value & (value - 1) or value > 1 << 16:
                    raise Broken("an alignment that is no power of two")
                self.alignment = value
        elif kind == _TEXT:
            self.template(key, self.text())
        elif kind == _ARRAY and depth < 4:
            self.array(key, depth)
        else:
            raise Broken(f"a value of unknown type {kind}")

    def array(self, key: bytes, depth: int) -> None:
        kind, count = self.number(4), self.number(8)
        if count > self.size:
            raise Broken("an array longer than the file")
        if kind in _WIDTHS:
            self.skip(count * _WIDTHS[kind])
        elif kind == _TEXT and not key.startswith(b"tokenizer.chat"):
            for _ in range(count):
                self.skip(self.number(8))
        else:
            for _ in range(count):
                self.pair(key, kind, depth + 1)

    def template(self, key: bytes, text: bytes) -> None:
        if b"{" not in text or (b"template" not in key and b"{%" not in text and b"{{" not in text):
            return
        reached = template_reaches(text.decode("utf-8", "replace"))
        if reached:
            name = key.decode("utf-8", "backslashreplace")[:80]
            self.case.find("HB-V014", f"the template {name} reaches for {reached}", self.where)

    def number(self, width: int) -> int:
        start = self.at - self.base
        if start + width > len(self.window):
            self.window, self.base, start = self.source.read(self.at, _CHUNK), self.at, 0
            if len(self.window) < width:
                raise Broken("the header ends early")
        self.at += width
        return int.from_bytes(self.window[start : start + width], "little")

    def skip(self, length: int) -> None:
        self.at += length
        if self.at > self.size:
            raise Broken("a length reaches behind the end of the file")
        if not self.base <= self.at <= self.base + len(self.window):
            self.window, self.base = b"", self.at

    def text(self) -> bytes:
        length = self.number(8)
        start = self.at
        self.skip(length)
        return self.source.read(start, min(length, _KEPT))
