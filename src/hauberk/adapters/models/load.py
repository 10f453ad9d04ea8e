"""One way to open a model file: its content says how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hauberk.adapters.models import onnx, weights
from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.onnx_ops import Unconvertible
from hauberk.adapters.models.onnx_torch import ConvertedModel, convert
from hauberk.adapters.models.session import read_model
from hauberk.adapters.models.trees import Probabilities
from hauberk.core.errors import ModelFormatError

if TYPE_CHECKING:
    from hauberk.core.model import Model


def load(path: Path) -> Model:
    """The model in a file: safetensors and most of ONNX with gradients, the rest with scores.

    An ONNX graph whose operators all have a counterpart in torch is converted and held against
    onnxruntime; a graph that does not pass runs on onnxruntime, without gradients, and so do
    classifiers of tables that answer with a label and probabilities.

    Raises:
        ModelFormatError: if the file is damaged or of a format that is not let in (HB-S004).
    """
    data, where = read_model(path)
    found = require(data, Format.SAFETENSORS, Format.ONNX, where=where)
    if found is Format.SAFETENSORS:
        return weights.load(path)
    try:
        model = onnx.OnnxModel.open(path)
    except ModelFormatError as error:
        try:
            return Probabilities.open(path)
        except ModelFormatError:
            raise error from None
    try:
        return ConvertedModel(convert(data))
    except Unconvertible:
        return model


def load_named(argument: str) -> Model:
    """As :func:`load`, by the file's name."""
    return load(Path(argument))
