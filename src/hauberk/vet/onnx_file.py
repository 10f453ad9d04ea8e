"""ONNX: paths to data outside, operators of unknown makers, graphs that do not add up.

Source: ``onnx.proto`` of the ONNX project, for the numbers of the fields.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.case import Broken
from hauberk.vet.paths import escapes
from hauberk.vet.protobuf import BYTES, VARINT, fields, packed
from hauberk.vet.source import Buffered
from hauberk.vet.templates import template_reaches

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_DOMAINS = frozenset({
    "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training",
    "com.microsoft", "com.microsoft.nchwc", "com.microsoft.experimental", "com.ms.internal.nhwc",
    "pkg.onnxscript.torch_lib", "pkg.onnxscript.torch_lib.common", "pkg.torch", "org.pytorch.aten",
})  # fmt: skip
_PYTHON = frozenset({"PyOp", "PythonOp", "PyCustomOp", "ATen"})
_MOST_OUTSIDE = 10_000
_WIDTHS = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8,
           15: 16, 16: 2, 17: 1, 18: 1, 19: 1, 20: 1}  # fmt: skip
_DEEPEST = 32


def vet_onnx(source: Source, case: Case, where: str, depth: int) -> None:
    """Walk the whole graph, without its numbers."""
    walk = _Walk(Buffered(source), case, where)
    try:
        walk.model(source.size)
    except Broken as error:
        case.find("HB-V011", f"the model is broken: {error}", where)
        case.gap("the rest of the model was not read", where)


class _Walk:
    """One pass over a model."""

    def __init__(self, source: Source, case: Case, where: str) -> None:
        self.source, self.case, self.where = source, case, where
        self.functions: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self.operators: set[tuple[str, str]] = set()
        self.nodes = 0

    def text(self, start: int, length: int) -> str:
        return self.source.read(start, min(length, 4096)).decode("utf-8", "backslashreplace")

    def model(self, size: int) -> None:
        top = list(fields(self.source, 0, size))
        for number, wire, start, length in top:
            if number == 25 and wire == BYTES:
                self.function(start, start + length)
        for number, wire, start, length in top:
            if number == 7 and wire == BYTES:
                self.graph(start, start + length, set(), 0)
            elif number == 14 and wire == BYTES:
                self.metadata(start, start + length)
            elif number == 20 and wire == BYTES:
                self.case.find("HB-V011", "it brings a training graph", self.where)
        for domain, name in self.operators:
            self.operator(domain, name)
        self.recursion()

    def operator(self, domain: str, name: str) -> None:
        if name in _PYTHON:
            message = f"operator {domain}.{name} runs Python"
            self.case.find("HB-V009", message, self.where, Severity.HIGH)
        elif domain not in _DOMAINS and (domain, name) not in self.functions:
            self.case.find(
                "HB-V011", f"operator {name} is of the unknown domain {domain}", self.where
            )

    def function(self, start: int, end: int) -> None:
        name = domain = ""
        called: set[tuple[str, str]] = set()
        outer, self.operators = self.operators, called
        for number, wire, at, length in fields(self.source, start, end):
            if wire != BYTES:
                continue
            if number == 1:
                name = self.text(at, length)
            elif number == 10:
                domain = self.text(at, length)
            elif number == 7:
                self.node(at, at + length, None, 1)
        self.operators = outer | called
        self.functions[domain, name] = called

    def recursion(self) -> None:
        """A function must not reach itself."""
        for first in self.functions:
            reached, todo = set(), list(self.functions[first])
            while todo:
                one = todo.pop()
                if one not in reached and one in self.functions:
                    reached.add(one)
                    todo += self.functions[one]
            if first in reached:
                self.case.find(
                    "HB-V011", f"function {first[1]} calls itself", self.where, Severity.HIGH
                )
                return

    def graph(self, start: int, end: int, outer: set[str], depth: int) -> None:
        if depth > _DEEPEST:
            raise Broken("graphs nested too deeply")
        known = set(outer)
        nodes = []
        for number, wire, at, length in fields(self.source, start, end):
            if wire != BYTES:
                continue
            if number == 1:
                nodes.append((at, at + length))
            elif number == 5:
                known.add(self.tensor(at, at + length))
            elif number == 11:
                known.add(self.first_text(at, at + length))
            elif number == 15:
                known.add(self.sparse(at, at + length))
        for at, stop in nodes:
            self.node(at, stop, known, depth)

    def node(self, start: int, end: int, known: set[str] | None, depth: int) -> None:
        self.nodes += 1
        if self.nodes > self.case.limits.nodes:
            raise Broken("more nodes than the limit allows")
        inputs: list[str] = []
        outputs: list[str] = []
        attributes: list[tuple[int, int]] = []
        operator = domain = ""
        for number, wire, at, length in fields(self.source, start, end):
            if wire != BYTES:
                continue
            if number in {1, 2}:
                (inputs if number == 1 else outputs).append(self.text(at, length))
            elif number == 4:
                operator = self.text(at, length)
            elif number == 5:
                attributes.append((at, at + length))
            elif number == 7:
                domain = self.text(at, length)
        self.operators.add((domain, operator))
        if known is not None and any(one and one not in known for one in inputs):
            self.case.find(
                "HB-V011",
                "a node uses a value before it is made: a cycle or a gap",
                self.where,
                Severity.HIGH,
            )
        for at, stop in attributes:
            self.attribute(at, stop, known, depth)
        if known is not None:
            known.update(outputs)

    def attribute(self, start: int, end: int, known: set[str] | None, depth: int) -> None:
        for number, wire, at, length in fields(self.source, start, end):
            if wire != BYTES:
                continue
            if number in {5, 10}:
                self.tensor(at, at + length)
            elif number in {6, 11}:
                # A function's bodies see names that are not followed here.
                self.graph(at, at + length, known or set(), depth + 1)
            elif number in {22, 23}:
                self.sparse(at, at + length)

    def tensor(self, start: int, end: int) -> str:
        name, kind, outside, raw = "", 0, False, -1
        shape: list[int] = []
        for number, wire, at, length in fields(self.source, start, end):
            if number == 1:
                shape += [at] if wire == VARINT else packed(self.source.read(at, min(length, 4096)))
            elif number == 2 and wire == VARINT:
                kind = at
            elif wire == BYTES and number == 8:
                name = self.text(at, length)
            elif wire == BYTES and number == 9:
                raw = length
            elif wire == BYTES and number == 13:
                outside = True
                self.outside(at, at + length)
            elif number == 14 and wire == VARINT:
                outside = outside or at == 1
        if any(n >= 1 << 48 for n in shape) or prod(shape) >= 1 << 48:
            self.case.find(
                "HB-V011",
                f"tensor {name[:80]} is larger than any memory",
                self.where,
                Severity.HIGH,
            )
        elif raw >= 0 and not outside and kind in _WIDTHS and raw != prod(shape) * _WIDTHS[kind]:
            self.case.find("HB-V011", f"tensor {name[:80]} does not fit its data", self.where)
        return name

    def sparse(self, start: int, end: int) -> str:
        name = ""
        for number, wire, at, length in fields(self.source, start, end):
            if number in {1, 2} and wire == BYTES:
                name = self.tensor(at, at + length) if number == 1 else name
        return name

    def outside(self, start: int, end: int) -> None:
        key = value = ""
        for number, wire, at, length in fields(self.source, start, end):
            if wire == BYTES and number == 1:
                key = self.text(at, length)
            elif wire == BYTES and number == 2:
                value = self.text(at, length)
        if key == "location" and escapes(value):
            self.case.find("HB-V010", f"it reads data from {value[:200]}", self.where)
        elif key == "location" and len(self.case.traits) < _MOST_OUTSIDE:
            self.case.traits.add(f"data {value}")

    def first_text(self, start: int, end: int) -> str:
        for number, wire, at, length in fields(self.source, start, end):
            if number == 1 and wire == BYTES:
                return self.text(at, length)
        return ""

    def metadata(self, start: int, end: int) -> None:
        for number, wire, at, length in fields(self.source, start, end):
            if number == 2 and wire == BYTES:
                reached = template_reaches(
                    self.source.read(at, min(length, 1 << 20)).decode("utf-8", "replace")
                )
                if reached:
                    self.case.find("HB-V014", f"its metadata reaches for {reached}", self.where)
