"""What an operation of an ONNX graph is, before anyone says what it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

Values = list[Any]

# Floats of every width are float32 here: what that changes, the comparison with onnxruntime shows.
TYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.DOUBLE: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float32,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.BOOL: torch.bool,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT8: torch.int8,
}


class Unconvertible(Exception):
    """The operator, or this use of it, has no counterpart here."""


@dataclass(frozen=True)
class Node:
    """One operation: its kind, the names it reads and writes, and its attributes."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    attributes: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, with strings as text."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value


def ints(value: Any) -> list[int]:
    """A list of integers that is an attribute or a tensor."""
    return [int(one) for one in (value.tolist() if isinstance(value, Tensor) else value)]


def tensor(proto: onnx.TensorProto) -> Tensor:
    """A constant of the graph; floats as float32."""
    value = torch.from_numpy(np.array(onnx.numpy_helper.to_array(proto)))
    return value.float() if value.is_floating_point() else value
