"""One fast pass over a pickle: where it ends and which names it can reach.

The pass follows the opcodes and not the stack. Names written inline are read as they are; names
that two texts make are read where the texts stand right before. Where they do not, the exact
machine is run up to that place. Most checkpoints name only inert callables, and then the pass is
all that is needed: no order of such calls does harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.vet.names import Trust, judge, name_text
from hauberk.vet.opcodes import (
    EXTENSIONS,
    GLOBAL,
    INST,
    LENGTHS,
    LINES,
    PLAIN,
    STACK_GLOBAL,
    STOP,
    TEXTS,
)

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.pickle_machine import Machine
    from hauberk.vet.source import Source

_CHUNK = 1 << 21
_MARGIN = 1 << 13
_LINE = 1 << 12
_MEMOIZED = (b"", b"\x94")


@dataclass(kw_only=True)
class Scan:
    """What the pass saw: names with their trust, the place behind STOP, or why it broke off."""

    names: dict[tuple[str, str], Trust] = field(default_factory=dict)
    end: int | None = None
    broken: str = ""
    exact: bool = True

    @property
    def inert(self) -> bool:
        """Whether the pass alone shows that nothing can happen."""
        trusts = self.names.values()
        return not self.broken and self.exact and all(one is Trust.INERT for one in trusts)


def scan(source: Source, start: int, case: Case) -> Scan:
    """Follow the opcodes from ``start`` to STOP or to the first byte that is none."""
    return _Pass(source, start, case).run()


class _Pass:
    """The state of one pass: a window of bytes and the last two short texts."""

    def __init__(self, source: Source, start: int, case: Case) -> None:
        self.source, self.start, self.case = source, start, case
        self.base, self.at = start, 0
        self.window = source.read(start, _CHUNK)
        self.found = Scan()
        self.machine: Machine | None = None
        self.texts = ((0, 0), (0, 0))  # absolute start and end of the last two texts

    def run(self) -> Scan:
        plain = PLAIN.match
        while not self.found.broken:
            if len(self.window) - self.at < _MARGIN and len(self.window) == _CHUNK:
                self._refill(self.base + self.at)
            run = plain(self.window, self.at)
            if run:
                self.at = run.end()
                if len(self.window) - self.at < _MARGIN and len(self.window) == _CHUNK:
                    continue
            if self.at >= len(self.window):
                self.found.broken = "it ends before its STOP"
                break
            op = self.window[self.at]
            if op in LENGTHS:
                self._sized(op)
            elif op == STOP:
                self.found.end = self.base + self.at + 1
                break
            else:
                self._named(op)
        return self.found

    def _refill(self, at: int) -> None:
        self.window, self.base, self.at = self.source.read(at, _CHUNK), at, 0

    def _sized(self, op: int) -> None:
        """Pass over text or bytes with their length in front."""
        form = LENGTHS[op]
        data = self.at + 1 + form.size
        if data > len(self.window):
            self.found.broken = "it ends within an opcode"
            return
        (length,) = form.unpack_from(self.window, self.at + 1)
        if length < 0:
            self.found.broken = "a negative length"
            return
        if op in TEXTS:
            self.texts = (self.texts[1], (self.base + self.at, self.base + data + length))
        self.at = data + length
        if self.at > len(self.window):
            end = self.base + self.at
            if not self.source.read(end - 1, 1):
                self.found.broken = f"a length of {length:,} bytes reaches behind the end"
                return
            self._refill(end)

    def _named(self, op: int) -> None:
        if op in {GLOBAL, INST}:
            self._inline()
        elif op == STACK_GLOBAL:
            self._from_stack()
        elif op in EXTENSIONS:
            self.found.exact = False
            self.at += 1 + EXTENSIONS[op]
        elif op in LINES:
            self._line()
        else:
            self.found.broken = f"byte 0x{op:02x} is no opcode"

    def _line(self) -> None:
        """A long line: look for its end, piece by piece."""
        at = self.base + self.at
        while piece := self.source.read(at, _CHUNK):
            end = piece.find(b"\n")
            if end >= 0:
                self._refill(at + end + 1)
                return
            at += len(piece)
        self.found.broken = "it ends within a line"

    def _inline(self) -> None:
        """GLOBAL and INST: two lines."""
        first = self.window.find(b"\n", self.at, self.at + _LINE)
        second = self.window.find(b"\n", first + 1, first + 1 + _LINE) if first >= 0 else -1
        if second < 0:
            self.found.broken = "a name without an end"
            return
        self._name(self.window[self.at + 1 : first], self.window[first + 1 : second])
        self.at = second + 1

    def _from_stack(self) -> None:
        """STACK_GLOBAL: the two texts right before it, or what the machine says."""
        place = self.base + self.at
        self.at += 1
        (a, a_end), (b, b_end) = self.texts
        if b_end and a_end and a >= self.base:
            between = self.window[a_end - self.base : b - self.base]
            behind = self.window[b_end - self.base : place - self.base]
            if between in _MEMOIZED and behind in _MEMOIZED:
                self._name(self._text(a, a_end), self._text(b, b_end))
                return
        if self.machine is None:
            from hauberk.vet.pickle_machine import Machine  # noqa: PLC0415 - rarely needed

            self.machine = Machine(self.source, self.start, self.case)
        pair = self.machine.names_at(place)
        if pair is None:
            self.found.exact = False
        else:
            self.found.names.setdefault(pair, judge(*pair))

    def _text(self, start: int, end: int) -> bytes:
        head = 1 + LENGTHS[self.window[start - self.base]].size
        return self.window[start + head - self.base : end - self.base]

    def _name(self, module: bytes, name: bytes) -> None:
        pair = name_text(module), name_text(name)
        if pair not in self.found.names:
            self.found.names[pair] = judge(*pair)
