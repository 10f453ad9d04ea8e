"""The exact reading of a pickle: its stack and memo, as far as they decide what is called.

Nothing is imported, called or built. A name that the file computes instead of writing it, a state
that is set on a function or a class, and a call of what a call returned are findings by
themselves. Raw arrays that joblib writes between the opcodes are passed over by their declared
size, and the file is read as plain pickle as well, since both readings may be executed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from hauberk.core.evidence import Severity
from hauberk.vet.case import Broken
from hauberk.vet.joblib_array import Unclear, array_bytes, is_wrapper
from hauberk.vet.names import Trust, judge, name_text
from hauberk.vet.opcodes import LENGTHS, TEXTS
from hauberk.vet.pickle_calls import RISKY, called
from hauberk.vet.tape import Tape
from hauberk.vet.values import OPAQUE, Bag, Blob, Made, Ref, pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_SHORT = 256
_STRING_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|[abfnrtv\\'\"])")
_UNICODE_ESCAPE = re.compile(rb"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})")
_SIMPLE = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
}
_MOST_MEMO = 3_000_000


class Machine(Tape):
    """One reading of one pickle; ``events`` are its findings: rule, message, place, severity."""

    def __init__(self, source: Source, start: int, case: Case, *, arrays: bool = True) -> None:
        super().__init__(source, start)
        self.case, self.arrays, self.forked = case, arrays, not arrays
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.sparse: dict[int, Any] = {}
        self.refs: dict[tuple[str, str], Ref] = {}
        self.events: list[tuple[str, str, int, Severity | None]] = []
        self.inside: list[Blob | bytes] = []
        self.risky: set[str] = set()
        self.frame_end = 0
        self.end: int | None = None
        self.broken = ""

    def names_at(self, place: int) -> tuple[str, str] | None:
        """The two texts on top of the stack when ``place`` is reached; None if they are not."""
        self.run(place)
        if self.place != place or len(self.stack) < 2:
            return None
        module, name = self.stack[-2:]
        return (module, name) if isinstance(module, str) and isinstance(name, str) else None

    def run(self, until: int | None = None) -> None:
        """Go on to STOP, to ``until`` or to where the file breaks."""
        stop = float("inf") if until is None else until
        try:
            while self.end is None and not self.broken and self.place < stop:
                self._step()
        except IndexError:
            self.broken = "it takes from an empty stack"
        except Broken as error:
            self.broken = str(error)

    def event(self, rule: str, message: str, severity: Severity | None = None) -> None:
        """Note a finding at the present place."""
        if len(self.events) < 100:
            self.events.append((rule, message, self.place, severity))

    def _step(self) -> None:
        op = self.byte()
        handler = self._HANDLERS.get(op)
        if handler is None and op not in LENGTHS:
            raise Broken(f"byte 0x{op:02x} is no opcode")
        self.case.opcodes += 1
        if self.case.opcodes > self.case.limits.opcodes:
            raise Broken("more opcodes than the limit allows")
        if handler is None:
            self._sized(op)
        else:
            handler(self)

    def _sized(self, op: int) -> None:
        form = LENGTHS[op]
        (length,) = form.unpack(self.take(form.size))
        if length < 0:
            raise Broken("a negative length")
        start = self.place
        if self.at + length > len(self.window):
            if not self.reaches(start + length):
                raise Broken(f"a length of {length:,} bytes reaches behind the end")
            self.stack.append(Blob(start, length, text=op in TEXTS))
            self.jump(start + length)
            return
        self.at += length
        if op in {0x8A, 0x8B}:
            value: Any = OPAQUE
            if length <= 8:
                value = int.from_bytes(
                    self.window[self.at - length : self.at], "little", signed=True
                )
            self.stack.append(value)
        elif op in TEXTS and length <= _SHORT:
            self._text(name_text(self.window[self.at - length : self.at]))
        else:
            self.stack.append(Blob(start, length, text=op in TEXTS))

    def _text(self, text: str) -> None:
        if text in RISKY:
            self.risky.add(text)
        self.stack.append(text)

    def _escaped(self, escape: re.Pattern[bytes]) -> None:
        """STRING and UNICODE: a line with escapes."""
        line = self.line()
        if escape is _STRING_ESCAPE:
            line = line.strip()[1:-1]
        if len(line) > 4 * _SHORT:
            self.stack.append(Blob(self.place - len(line) - 1, len(line), text=True))
        else:
            self._text(_unescaped(line, escape))

    def _whole(self) -> None:
        line = self.line()
        known = {b"00": False, b"01": True}
        text = line.strip().rstrip(b"L")
        plain = text.isdigit() and len(text) < 19
        self.stack.append(known.get(line, int(text) if plain else OPAQUE))

    def _number(self, count: int) -> None:
        value = int.from_bytes(self.take(count), "little", signed=count == 4)
        self.stack.append(value)

    # --- names -----------------------------------------------------------------------------

    def ref(self, module: str, name: str) -> Ref:
        """Look a name up."""
        pair = (module, name)
        if pair not in self.refs:
            self.refs[pair] = Ref(module, name, judge(module, name))
        return self.refs[pair]

    def _global(self) -> None:
        module = name_text(self.line())
        self.stack.append(self.ref(module, name_text(self.line())))

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if isinstance(name, str) and isinstance(module, str):
            self.stack.append(self.ref(module, name))
            return
        self.event("HB-V004", "it computes the name of what it calls", Severity.CRITICAL)
        self.stack.append(self.ref("?", "?"))

    def _inst(self) -> None:
        module = name_text(self.line())
        ref = self.ref(module, name_text(self.line()))
        self._call(ref, pack(self._items()))

    def _obj(self) -> None:
        items = self._items()
        self._call(items[0], pack(items[1:]))

    def _extension(self, count: int) -> None:
        self.take(count)
        self.event("HB-V002", "it calls by number from the registry of copyreg", Severity.HIGH)
        self.stack.append(OPAQUE)

    def _reduce(self) -> None:
        args, callee = self.stack.pop(), self.stack.pop()
        self._call(callee, args)

    def _newobj_ex(self) -> None:
        self.stack.pop()
        self._reduce()

    def _call(self, callee: Any, args: Any) -> None:
        self.stack.append(called(self, callee, args))

    # --- marks, memo, containers -----------------------------------------------------------

    def _items(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _put(self, index: int) -> None:
        value = self.stack[-1]
        if index == len(self.memo):
            self.memo.append(value)
        elif 0 <= index < len(self.memo):
            self.memo[index] = value
        else:
            self.sparse[index] = value
        if len(self.memo) + len(self.sparse) > _MOST_MEMO:
            raise Broken("it remembers more than the limit allows")

    def _get(self, index: int) -> None:
        if 0 <= index < len(self.memo):
            self.stack.append(self.memo[index])
        elif index in self.sparse:
            self.stack.append(self.sparse[index])
        else:
            raise Broken("it recalls what it never remembered")

    def _line_number(self) -> int:
        line = self.line().strip()
        if not line.isdigit() or len(line) > 12:
            raise Broken("a memo index that is no number")
        return int(line)

    def _tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise Broken("it takes from an empty stack")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        self.stack.append(pack(items))

    def _pop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def _pairs(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Bag):
            for key, value in zip(items[::2], items[1::2], strict=False):
                target.put(key, value)

    def _dict(self) -> None:
        items = self._items()
        self.stack.append(Bag())
        self._pairs(items)

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._pairs([key, value])

    def _opaque_items(self) -> None:
        self._items()
        self.stack.append(OPAQUE)

    def _frame(self) -> None:
        self.frame_end = int.from_bytes(self.take(8), "little") + self.place

    def _swap(self) -> None:
        """BINPERSID: the loader's own business; what it got is gone.

        Old PyTorch files wrap classes so, beside their source; loading gives the class back.
        """
        told = self.stack.pop()
        wrapped = isinstance(told, tuple) and len(told) > 1 and told[0] == "module"
        self.stack.append(told[1] if wrapped and isinstance(told[1], Ref) else OPAQUE)

    def _persid(self) -> None:
        self.line()
        self.stack.append(OPAQUE)

    # --- states ------------------------------------------------------------------------------

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Ref):
            self.event("HB-V001", f"it changes {target.full} for the whole process")
        if not isinstance(target, Made):
            return
        target.state = state
        if is_wrapper(target):
            if self.arrays:
                self._pass_over(target)
            self.stack[-1] = OPAQUE

    def _pass_over(self, wrapper: Made) -> None:
        """Go to where joblib's unpickler goes on behind an array."""
        self._read_as_plain()
        if self.frame_end > self.place:
            raise Broken("an array begins within a frame, which joblib never writes")
        try:
            size = array_bytes(wrapper, self.source, self.place)
        except Unclear as error:
            raise Broken(str(error)) from None
        if size is not None:
            if not self.reaches(self.place + size):
                raise Broken("an array reaches behind the end")
            self.jump(self.place + size)
            return
        nested = Machine(self.source, self.place, self.case)
        nested.run()
        self._adopt(nested)
        if nested.end is None:
            raise Broken(f"the pickle of an array of objects is broken: {nested.broken}")
        self.jump(nested.end)

    def _read_as_plain(self) -> None:
        """Once, at the first array: what happens if not joblib but pickle opens the file."""
        if self.forked:
            return
        self.forked = True
        fork = Machine(self.source, self.start, self.case, arrays=False)
        fork.jump(self.place)
        fork.stack, fork.marks = list(self.stack), list(self.marks)
        fork.memo, fork.sparse = list(self.memo), dict(self.sparse)
        fork.run()
        fork.refs = {pair: ref for pair, ref in fork.refs.items() if ref.trust is Trust.HARMFUL}
        fork.events.clear()
        self._adopt(fork)

    def _adopt(self, other: Machine) -> None:
        self.refs.update(other.refs)
        self.events += other.events
        self.inside += other.inside
        self.risky |= other.risky

    def _stop(self) -> None:
        self.end = self.place

    _HANDLERS: ClassVar[dict[int, Callable[[Machine], None]]] = {
        ord("."): _stop,
        ord("("): lambda self: self.marks.append(len(self.stack)),
        ord("0"): _pop,
        ord("1"): lambda self: (self._items(), None)[1],
        ord("2"): lambda self: self.stack.append(self.stack[-1]),
        ord("N"): lambda self: self.stack.append(None),
        0x88: lambda self: self.stack.append(True),
        0x89: lambda self: self.stack.append(False),
        ord("I"): _whole,
        ord("L"): _whole,
        ord("F"): _persid,
        ord("P"): _persid,
        ord("Q"): _swap,
        ord("S"): lambda self: self._escaped(_STRING_ESCAPE),
        ord("V"): lambda self: self._escaped(_UNICODE_ESCAPE),
        ord("K"): lambda self: self._number(1),
        ord("M"): lambda self: self._number(2),
        ord("J"): lambda self: self._number(4),
        ord("G"): lambda self: self.stack.append((self.take(8), OPAQUE)[1]),
        ord("p"): lambda self: self._put(self._line_number()),
        ord("q"): lambda self: self._put(self.take(1)[0]),
        ord("r"): lambda self: self._put(int.from_bytes(self.take(4), "little")),
        0x94: lambda self: self._put(len(self.memo) + len(self.sparse)),
        ord("g"): lambda self: self._get(self._line_number()),
        ord("h"): lambda self: self._get(self.take(1)[0]),
        ord("j"): lambda self: self._get(int.from_bytes(self.take(4), "little")),
        ord("]"): lambda self: self.stack.append(OPAQUE),
        0x8F: lambda self: self.stack.append(OPAQUE),
        0x97: lambda self: self.stack.append(OPAQUE),
        0x98: lambda self: None,
        ord("}"): lambda self: self.stack.append(Bag()),
        ord(")"): lambda self: self.stack.append(()),
        ord("t"): lambda self: self.stack.append(pack(self._items())),
        0x85: lambda self: self._tuple(1),
        0x86: lambda self: self._tuple(2),
        0x87: lambda self: self._tuple(3),
        ord("a"): lambda self: (self.stack.pop(), None)[1],
        ord("e"): lambda self: (self._items(), None)[1],
        0x90: lambda self: (self._items(), None)[1],
        ord("l"): _opaque_items,
        0x91: _opaque_items,
        ord("d"): _dict,
        ord("s"): _setitem,
        ord("u"): lambda self: self._pairs(self._items()),
        ord("c"): _global,
        0x93: _stack_global,
        ord("i"): _inst,
        ord("o"): _obj,
        ord("R"): _reduce,
        0x81: _reduce,
        0x92: _newobj_ex,
        ord("b"): _build,
        0x80: lambda self: (self.take(1), None)[1],
        0x95: _frame,
        0x82: lambda self: self._extension(1),
        0x83: lambda self: self._extension(2),
        0x84: lambda self: self._extension(4),
    }


def _unescaped(line: bytes, escape: re.Pattern[bytes]) -> str:
    """The text of a line with escapes, as the unpickler decodes it."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[0][1:]
        if code[:1] in b"xuU":
            return chr(min(int(code[1:], 16), 0x10FFFF)).encode("utf-8", "backslashreplace")
        return bytes([int(code, 8) & 255]) if code.isdigit() else _SIMPLE.get(code, code)

    return name_text(escape.sub(plain, line))
