"""ONNX whose tensors lie in files beside it, as torch's exporter writes them by default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from hauberk.adapters.models.formats import MAX_BYTES, Format, recognise
from hauberk.adapters.models.session import tensors
from hauberk.core.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping


def files_beside(path: Path, data: bytes) -> list[Path]:
    """The files that hold tensors of a graph, in order; none of what is no ONNX.

    Raises:
        ModelFormatError: if one lies elsewhere than beside the graph, is a link or is not there.
    """
    if recognise(data) is not Format.ONNX:
        return []
    model = onnx.load_model_from_string(data)
    named = {_entries(one).get("location", "") for one in tensors(model) if one.external_data}
    found, size = [], len(data)
    for name in sorted(named):
        file = path.parent / name
        if Path(name).name != name or not name or file.is_symlink() or not file.is_file():
            raise ModelFormatError(
                f"it keeps tensors in {name[:80]!r}, which is no file beside it",
                where=str(path),
                hint="keep both in one folder, or export with external_data=False",
            )
        size += file.stat().st_size
        found.append(file)
    if size > MAX_BYTES:
        raise ModelFormatError(f"larger than {MAX_BYTES} bytes with its data", where=str(path))
    return found


def inlined(path: Path, data: bytes) -> bytes:
    """The graph with what lies beside it taken in; the same bytes where nothing does.

    Raises:
        ModelFormatError: as :func:`files_beside`; or a tensor reaches past its file.
    """
    held = {file.name: file.read_bytes() for file in files_beside(path, data)}
    if not held:
        return data
    model = onnx.load_model_from_string(data)
    for one in tensors(model):
        if not one.external_data:
            continue
        entries = _entries(one)
        whole = held[entries["location"]]
        try:
            start = int(entries.get("offset", 0))
            length = int(entries.get("length", len(whole) - start))
        except ValueError:
            start = length = -1
        if start < 0 or length < 0 or start + length > len(whole):
            raise ModelFormatError(
                f"tensor {one.name[:80]!r} reaches past its file", where=str(path)
            )
        one.raw_data = whole[start : start + length]
        one.data_location = onnx.TensorProto.DEFAULT
        del one.external_data[:]
    whole_graph: bytes = model.SerializeToString()
    return whole_graph


def _entries(tensor: onnx.TensorProto) -> Mapping[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}
