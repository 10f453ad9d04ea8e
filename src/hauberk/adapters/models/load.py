"""One way to open a model file: its content says how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.adapters.models import onnx, weights
from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.session import read_model

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.model import Model


def load(path: Path) -> Model:
    """The model in a file: safetensors with gradients, ONNX with scores.

    Raises:
        ModelFormatError: if the file is damaged or of a format that is not let in (HB-S004).
    """
    data, where = read_model(path)
    found = require(data, Format.SAFETENSORS, Format.ONNX, where=where)
    return weights.load(path) if found is Format.SAFETENSORS else onnx.OnnxModel.open(path)
