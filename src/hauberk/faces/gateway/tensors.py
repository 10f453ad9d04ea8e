"""Tensors, requests and responses of the Open Inference Protocol V2, free of transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.faces.gateway.faults import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}


def dtype_of(datatype: str, *, where: str) -> np.dtype[Any]:
    """The numpy type of a datatype's name.

    Raises:
        BadRequest: if it is unknown, or is ``BYTES``, which no model here takes.
    """
    if datatype not in DATATYPES:
        raise BadRequest(f"datatype {datatype[:20]!r} is not supported", where=where)
    return DATATYPES[datatype]


class Tensor(msgspec.Struct, frozen=True):
    """A named array; its datatype and shape are the array's."""

    name: str
    data: NDArray[Any]

    @property
    def datatype(self) -> str:
        """The protocol's name of the array's type."""
        return _NAMES[self.data.dtype]


class Wanted(msgspec.Struct, frozen=True):
    """An output that the client asked for; ``binary`` is None where it left the choice."""

    name: str
    binary: bool | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One inference request; no ``wanted`` means the model's default outputs.

    ``binary`` is the form of those outputs for which ``wanted`` does not choose.
    """

    id: str = ""
    inputs: tuple[Tensor, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    binary: bool = False

    def is_binary(self, name: str) -> bool:
        """Whether the client takes that output as raw bytes."""
        for one in self.wanted:
            if one.name == name and one.binary is not None:
                return one.binary
        return self.binary


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One inference response."""

    model: str
    version: str
    id: str
    outputs: tuple[Tensor, ...]
    parameters: Mapping[str, str | int | float | bool] = msgspec.field(default_factory=dict)
