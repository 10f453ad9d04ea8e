"""Toy models in ONNX, made by hand: a linear classifier whose every logit can be foretold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray


def linear_onnx(
    weights: NDArray[np.float32], *, shape: tuple[int, ...], bias: NDArray[np.float32] | None = None
) -> bytes:
    """``logits = flatten(x) @ weights + bias`` as ONNX bytes.

    ``weights`` are ``(prod(shape), classes)``; the input is ``x`` float32 ``(batch, *shape)``, the
    output ``logits`` float32 ``(batch, classes)``. The same arguments give the same bytes.
    """
    classes = weights.shape[1]
    offset = np.zeros(classes) if bias is None else bias
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "w"),
            numpy_helper.from_array(offset.astype(np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
