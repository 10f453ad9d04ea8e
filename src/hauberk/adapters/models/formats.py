"""What a model file is, by its content; a file name proves nothing.

Only two formats are let through: safetensors and ONNX. Neither can carry code. Everything else is
refused under rule HB-S004, and what is not recognised is refused as well.
"""

from __future__ import annotations

import io
import json
import pickletools
import zipfile
from enum import StrEnum
from typing import TYPE_CHECKING

import onnx

from hauberk.core.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Callable

RULE = "HB-S004"
MAX_BYTES = 1 << 30
_MAX_HEADER = 16 << 20
_MAX_MEMBERS = 65536
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
# In order: gzip, bzip2, xz, 7z, zstandard, lz4, zlib.
_COMPRESSED = (
    *(b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c"),
    *(b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x78\x01", b"\x78\x9c", b"\x78\xda"),
)
_FOREIGN = (b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", b"GGUF")
_HINT = "keep models as safetensors or ONNX; `hauberk rule HB-S004` says why"


class Format(StrEnum):
    """Kinds of file that are told apart; only the first two are loaded."""

    SAFETENSORS = "safetensors"
    ONNX = "ONNX"
    EXPORTED = "a torch.export archive"
    PICKLE = "a pickle"
    ARCHIVE = "an archive"
    COMPRESSED = "a compressed file"
    FOREIGN = "another format"
    UNKNOWN = "no known model format"


def recognise(data: bytes) -> Format:
    """Format of a file's content.

    An archive hidden behind another file's start is found, since such a file is two things at
    once. Nothing is unpickled or unpacked.
    """
    if data.startswith(_ZIP) or _opens_as_zip(data):
        return _archive(data)
    return next((kind for kind, test in _TESTS.items() if test(data)), Format.UNKNOWN)


def require(data: bytes, *allowed: Format, where: str) -> Format:
    """Format of ``data`` if it is one of ``allowed``.

    Raises:
        ModelFormatError: if it is another, naming the reason; if it is empty or above 1 GiB.
    """
    if not data:
        raise ModelFormatError("the file is empty", where=where, hint=_HINT)
    if len(data) > MAX_BYTES:
        raise ModelFormatError(
            f"{len(data)} bytes, more than {MAX_BYTES} that a model may have", where=where
        )
    found = recognise(data)
    if found in allowed:
        return found
    reason = {
        Format.PICKLE: "a pickle runs code when it is loaded",
        Format.ARCHIVE: "an archive may hide a pickle",
        Format.COMPRESSED: "compressed content may hide a pickle",
        Format.EXPORTED: "it holds pickled inputs, and its symbolic sizes are evaluated as code",
    }.get(found)
    if reason:
        raise ModelFormatError(
            f"refused by {RULE}: this is {found}; {reason}", where=where, hint=_HINT
        )
    wanted = " or ".join(allowed)
    raise ModelFormatError(
        f"refused by {RULE}: expected {wanted}, this is {found}", where=where, hint=_HINT
    )


def _opens_as_zip(data: bytes) -> bool:
    """Whether a ZIP reader accepts it, whatever its first bytes are."""
    if b"PK\x05\x06" not in data[-(1 << 16) - 22 :]:
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return bool(archive.infolist())
    except Exception:  # the reader fails in many ways on hostile bytes
        return False


def _archive(data: bytes) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [info.filename.lower() for info in archive.infolist()[:_MAX_MEMBERS]]
    except Exception:  # a damaged archive stays an archive
        return Format.ARCHIVE
    if any(name.endswith("archive_format") for name in members):
        return Format.EXPORTED
    if any(name.endswith((".pkl", ".pickle")) for name in members):
        return Format.PICKLE
    return Format.ARCHIVE


def _is_safetensors(data: bytes) -> bool:
    """Eight bytes of length, then a JSON object of that length."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER, len(data) - 8) or data[8:9] != b"{":
        return False
    try:
        return isinstance(json.loads(data[8 : 8 + length]), dict)
    except (ValueError, RecursionError):
        return False


def _is_pickle(data: bytes) -> bool:
    """A protocol mark, or opcodes up to a STOP (protocols 0 and 1 have no mark)."""
    if data[:1] == b"\x80" and data[1:2] <= b"\x05":
        return True
    try:
        for count, (opcode, _, position) in enumerate(pickletools.genops(io.BytesIO(data))):
            if opcode.name == "STOP":
                return count > 0 or bool(position)
            if count >= 64:
                return True
    except Exception:  # not a pickle, or one that no reader accepts
        return False
    return False


def _is_onnx(data: bytes) -> bool:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's own error type has no typed home
        return False
    return model.ir_version > 0 and bool(model.opset_import) and bool(model.graph.node)


# The first that holds decides, the certain ones before the heuristic ones.
_TESTS: dict[Format, Callable[[bytes], bool]] = {
    Format.ARCHIVE: lambda data: data[257:262] == b"ustar",
    Format.FOREIGN: lambda data: data.startswith(_FOREIGN),
    Format.SAFETENSORS: _is_safetensors,
    Format.PICKLE: _is_pickle,
    Format.COMPRESSED: lambda data: data.startswith(_COMPRESSED),
    Format.ONNX: _is_onnx,
}
