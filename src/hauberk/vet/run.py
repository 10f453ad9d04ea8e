"""Vet one file: recognise it, examine it and everything inside it, and never fail open."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.advisory import Known
from hauberk.vet.case import Broken, Case, LimitReached, Limits
from hauberk.vet.finding import Coverage, Vetted
from hauberk.vet.sniff import sniff
from hauberk.vet.source import Inflated

if TYPE_CHECKING:
    from hauberk.vet.source import Source
    from hauberk.vet.table_schema import Schema

# What examines which kind; imported when the first file of the kind comes.
_EXAMINERS: dict[str, str] = {
    "zip": "zip_file:vet_zip",
    "7z": "seven_file:vet_seven",
    "tar": "tar_file:vet_tar",
    "gzip": "compressed:vet_compressed",
    "bzip2": "compressed:vet_compressed",
    "xz": "compressed:vet_compressed",
    "zlib": "compressed:vet_compressed",
    "joblib-old": "compressed:vet_compressed",
    "lz4": "lz4_file:vet_lz4",
    "pickle": "pickle_file:vet_pickle",
    "npy": "npy_file:vet_npy",
    "hdf5": "hdf5_file:vet_hdf5",
    "gguf": "gguf_file:vet_gguf",
    "safetensors": "safetensors_file:vet_safetensors",
    "onnx": "onnx_file:vet_onnx",
    "saved-model": "saved_model:vet_saved_model",
    "graph-def": "saved_model:vet_graph_def",
    "json": "json_file:vet_json",
    "text": "text_file:vet_text",
    "program": "text_file:vet_program",
    "tflite": "text_file:vet_tflite",
}
_HARMLESS = frozenset({"empty", "idx", "media", "table", "tokenizer", "trees"})
_POLYGLOTS = frozenset({"zip", "tar", "7z", "json", "text", "empty", "zlib"})
_TAIL = (1 << 16) + 22


def vet(
    source: Source,
    name: str,
    limits: Limits | None = None,
    *,
    known: Known | None = None,
    schema: Schema | None = None,
) -> Vetted:
    """The findings of one file; ``name`` is shown and compared, but decides nothing.

    ``known`` is what is known of packages: without it none is clean. ``schema`` is what the rows of
    a table should be; without it most rows say so.

    Nothing is executed or unpickled. An error within an examiner is a finding, and the file is
    then for review.
    """
    case = Case(
        size=source.size,
        inspect=inspect,
        limits=limits or Limits(),
        known=known or Known(),
        schema=schema,
    )
    kind = inspect(source, case, name.rpartition("/")[2], 0)
    if kind == "unknown":
        case.find("HB-V017", "its content is of no known format", name)
        case.partial = True
    _compare_name(kind, name, case)
    return Vetted(
        path=name,
        kind=kind,
        coverage=Coverage.PARTIAL if case.partial else Coverage.FULL,
        findings=tuple(case.findings),
        traits=frozenset(case.traits),
        apart=tuple(case.apart),
        card=case.card,
    )


def inspect(source: Source, case: Case, where: str, depth: int, /) -> str:
    """Examine a source and what is inside it; return its kind."""
    if depth > case.limits.depth:
        case.find("HB-V007", f"nested deeper than {case.limits.depth} levels", where)
        case.gap("too deep to be read", where)
        return "too deep"
    kind = "unknown"
    try:
        kind = sniff(source, case)
        if kind in _EXAMINERS:
            module, _, function = _EXAMINERS[kind].partition(":")
            getattr(import_module(f"hauberk.vet.{module}"), function)(source, case, where, depth)
        elif kind not in _HARMLESS and kind != "unknown":
            case.gap(f"{kind} files are not opened here", where)
        if kind not in _POLYGLOTS:
            _as_archive(source, case, where, depth)
    except LimitReached as error:
        case.find("HB-V007", str(error), where)
        case.gap("a limit was reached", where)
    except Broken as error:
        case.gap(f"it could not be read: {error}", where)
    except Exception as error:  # whatever an examiner stumbles over: never clean
        case.gap(f"an examiner failed: {type(error).__name__}: {str(error)[:200]}", where)
    return kind


def _as_archive(source: Source, case: Case, where: str, depth: int) -> None:
    """Some loaders look for an archive at the end, whatever the beginning is."""
    if isinstance(source, Inflated) and source.size > 1 << 26:
        return
    size = source.size
    tail = source.read(max(0, size - _TAIL), _TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if (
        at < 0
        or len(tail) - at < 22
        or int.from_bytes(tail[at + 20 : at + 22], "little") + at + 22 != len(tail)
    ):
        return
    case.find("HB-V005", "it is an archive as well", where, Severity.HIGH)
    from hauberk.vet.zip_file import vet_zip  # noqa: PLC0415 - rarely needed

    vet_zip(source, case, f"{where}!zip", depth + 1)


_ENDINGS = {
    "safetensors": {"safetensors"},
    "onnx": {"onnx"},
    "gguf": {"gguf"},
    "h5": {"hdf5"},
    "hdf5": {"hdf5"},
    "keras": {"zip", "hdf5"},
    "npy": {"npy"},
    "npz": {"zip"},
    "zip": {"zip"},
    "tflite": {"tflite"},
    "pkl": {"pickle", "gzip", "bzip2", "xz", "zlib", "lz4", "joblib-old"},
    "pickle": {"pickle"},
    "joblib": {"pickle", "gzip", "bzip2", "xz", "zlib", "lz4", "joblib-old"},
    "pt": {"zip", "pickle", "tar"},
    "pth": {"zip", "pickle", "tar"},
    "ckpt": {"zip", "pickle"},
}


def _compare_name(kind: str, name: str, case: Case) -> None:
    ending = name.rpartition(".")[2].lower()
    fitting = _ENDINGS.get(ending)
    if fitting is None or kind in fitting:
        return
    # A model that is no model at all is broken or a bait; a misnamed one is only told.
    severity = Severity.MEDIUM if kind in {"media", "text", "json", "empty", "program"} else None
    case.find("HB-V008", f"it is named .{ending} but is {kind} by its content", name, severity)
