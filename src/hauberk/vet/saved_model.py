"""TensorFlow's SavedModel and GraphDef: operations that run Python or touch files.

Source: ``saved_model.proto``, ``meta_graph.proto``, ``graph.proto`` and ``function.proto`` of
TensorFlow, for the numbers of the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.case import Broken
from hauberk.vet.keras_config import vet_config_text
from hauberk.vet.protobuf import BYTES, fields
from hauberk.vet.source import Buffered

if TYPE_CHECKING:
    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_RUNS = frozenset({
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "WriteFile", "ShellExecute", "TFPyEval",
})  # fmt: skip
_TOUCHES = frozenset({
    "ReadFile", "MatchingFiles", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3",
    "DebugNanCount", "DebugNumericSummary", "WriteSummary", "CreateSummaryFileWriter",
    "CreateSummaryDbWriter", "ImmutableConst", "Save", "SaveSlices", "WholeFileReader",
    "WholeFileReaderV2", "FixedLengthRecordReader", "TextLineReader", "TFRecordReader", "PrintV2",
    "Copy", "CopyHost", "RpcCall", "RpcServer", "RpcClient", "DistributedSave", "LoadDataset",
    "SaveDatasetV2", "SaveDataset", "CollectiveReduceV2",
})  # fmt: skip
# Where operations stand: in a graph def, in a meta graph, in a saved model.
_LONGEST_TEXT = 16 << 20


def vet_saved_model(source: Source, case: Case, where: str, depth: int) -> None:
    """Walk the graphs, their functions and the Keras layers that are described beside them."""
    near = Buffered(source)
    try:
        for number, wire, start, length in fields(near, 0, source.size):
            if number == 2 and wire == BYTES:
                _meta_graph(near, start, start + length, case, where)
    except Broken as error:
        case.gap(f"the graph is broken: {error}", where)


def vet_graph_def(source: Source, case: Case, where: str, depth: int) -> None:
    """Walk a frozen graph, or the Keras metadata of a SavedModel, which has the same outline."""
    near = Buffered(source)
    try:
        _graph(near, 0, source.size, case, where)
        _described(near, 0, source.size, case, where, 0)
    except Broken as error:
        case.gap(f"the graph is broken: {error}", where)


def _meta_graph(source: Source, start: int, end: int, case: Case, where: str) -> None:
    for number, wire, at, length in fields(source, start, end):
        if wire == BYTES and number == 2:
            _graph(source, at, at + length, case, where)
        elif wire == BYTES and number == 7:
            _described(source, at, at + length, case, where, 0)


def _graph(source: Source, start: int, end: int, case: Case, where: str) -> None:
    for number, wire, at, length in fields(source, start, end):
        if wire == BYTES and number == 1:
            _operation(source, at, at + length, case, where)
        elif wire == BYTES and number == 2:
            _library(source, at, at + length, case, where)


def _library(source: Source, start: int, end: int, case: Case, where: str) -> None:
    for number, wire, at, length in fields(source, start, end):
        if number != 1 or wire != BYTES:
            continue
        for inner, kind, place, size in fields(source, at, at + length):
            if inner == 3 and kind == BYTES:
                _operation(source, place, place + size, case, where)


def _operation(source: Source, start: int, end: int, case: Case, where: str) -> None:
    case.enter()
    for number, wire, at, length in fields(source, start, end):
        if number != 2 or wire != BYTES:
            continue
        name = source.read(at, min(length, 200)).decode("utf-8", "backslashreplace")
        if name in _RUNS:
            case.find(
                "HB-V009", f"operation {name} runs code or writes files", where, Severity.CRITICAL
            )
        elif name in _TOUCHES:
            case.find(
                "HB-V009", f"operation {name} reaches outside the graph", where, Severity.HIGH
            )


def _described(source: Source, start: int, end: int, case: Case, where: str, depth: int) -> None:
    """Texts of JSON anywhere in the description of the objects: Keras layers among them."""
    for _, wire, at, length in fields(source, start, end):
        if wire != BYTES or length < 2:
            continue
        if source.read(at, 1) == b"{" and length <= _LONGEST_TEXT:
            vet_config_text(source.read(at, length), case, where)
        elif depth < 3:
            try:
                _described(source, at, at + length, case, where, depth + 1)
            except Broken:
                continue
