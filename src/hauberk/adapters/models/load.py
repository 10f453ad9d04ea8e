"""One way to open a model file: its content says how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx as onnx_format

from hauberk.adapters.models import exported, onnx, weights
from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.onnx_beside import inlined
from hauberk.adapters.models.onnx_end import answer_of, ended
from hauberk.adapters.models.onnx_node import Unconvertible
from hauberk.adapters.models.onnx_scores import OnnxScores
from hauberk.adapters.models.onnx_torch import ConvertedModel, convert
from hauberk.adapters.models.session import read_model
from hauberk.adapters.models.trees import Probabilities
from hauberk.core.errors import ModelFormatError

if TYPE_CHECKING:
    from hauberk.core.model import Model


def load(path: Path) -> Model:
    """The model in a file: with gradients where its format and operators allow, else with scores.

    Safetensors say their architecture. A program of ``torch.export`` is read, never unpickled. An
    ONNX graph whose operators all have a counterpart in torch is converted and held against
    onnxruntime; a graph that does not pass runs on onnxruntime, without gradients, and so do
    classifiers of tables that answer with a label and probabilities. Tensors may lie in files
    beside a graph.

    Raises:
        ModelFormatError: if the file is damaged or of a format that is not let in (HB-S004).
    """
    data, where = read_model(path)
    found = require(data, Format.SAFETENSORS, Format.ONNX, Format.EXPORTED, where=where)
    if found is Format.SAFETENSORS:
        return weights.load(path)
    if found is Format.EXPORTED:
        return exported.load(data, where=where)
    whole = inlined(path, data)
    model = _scored(path if whole is data else whole, whole)
    try:
        return ConvertedModel(convert(whole))
    except Unconvertible as error:
        return replace(model, why=str(error))


def load_named(argument: str) -> Model:
    """As :func:`load`, by the file's name."""
    return load(Path(argument))


def _scored(source: Path | bytes, data: bytes) -> onnx.OnnxModel | Probabilities | OnnxScores:
    """The graph on onnxruntime, by the narrowest reading that fits it."""
    try:
        if not _flattened(data):
            return onnx.OnnxModel.open(source)
    except ModelFormatError:
        pass
    try:
        return Probabilities.open(source)
    except ModelFormatError:
        return OnnxScores.open(source)


def _flattened(data: bytes) -> bool:
    """Whether the graph ends in probabilities, on which an attack sees little."""
    graph = onnx_format.load_model_from_string(data).graph
    try:
        return bool(ended(graph, answer_of(graph))[1])
    except Unconvertible:
        return False
