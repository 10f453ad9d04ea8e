"""``grid:FILE``: an ONNX detector that answers with one box per cell of a grid, with gradients."""

from __future__ import annotations

from pathlib import Path

import onnx

from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.grid_head import GridHead
from hauberk.adapters.models.onnx_node import Unconvertible
from hauberk.adapters.models.onnx_torch import ConvertedModel, convert
from hauberk.adapters.models.session import read_model, refuse_external
from hauberk.core.errors import ModelFormatError


def load(argument: str) -> ConvertedModel:
    """A detector of the FastestDet family, as :class:`GridHead` reads what its graph answers.

    Raises:
        ModelFormatError: if the file is damaged, no ONNX, or none that can be converted.
    """
    data, where = read_model(Path(argument))
    require(data, Format.ONNX, where=where)
    refuse_external(data, where)
    try:
        body = convert(data)
    except Unconvertible as error:
        raise ModelFormatError(f"cannot be converted: {error}", where=where) from None
    inputs = {one.name: one.type for one in onnx.load_model_from_string(data).graph.input}
    side = [one.dim_value for one in inputs[body.input].tensor_type.shape.dim[2:]]
    if len(side) != 2 or min(side) < 1:
        raise ModelFormatError("its input is no image of a fixed size", where=where)
    return ConvertedModel(GridHead(body, side=side))
