"""Requests and responses as JSON (Open Inference Protocol V2, "Inference Request JSON Object").

Tensor data may be flat or nested in row-major order; it is typed while it is parsed, so that a
string, a boolean or a ragged list never becomes a number.
"""

from __future__ import annotations

import re
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from hauberk.faces.gateway.faults import BadRequest
from hauberk.faces.gateway.limits import MAX_ID, MAX_RANK, MAX_TENSORS
from hauberk.faces.gateway.tensors import Request, Tensor, Wanted, dtype_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.faces.gateway.tensors import Response

Parameters = dict[str, str | int | float | bool | None]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Name = Annotated[str, msgspec.Meta(max_length=256)]
_OPENING = re.compile(rb"[\[ \t\r\n]*")


class InputHead(msgspec.Struct, frozen=True):
    """One input tensor; ``data`` stays text until its type and shape are known."""

    name: _Name
    datatype: _Name
    shape: Annotated[list[_Size], msgspec.Meta(max_length=MAX_RANK)]
    parameters: Parameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class OutputHead(msgspec.Struct, frozen=True):
    """One output that the client asks for."""

    name: _Name
    parameters: Parameters | None = None


class Head(msgspec.Struct, frozen=True):
    """The request as JSON holds it; keys that the protocol does not name are passed over."""

    inputs: Annotated[list[InputHead], msgspec.Meta(min_length=1, max_length=MAX_TENSORS)]
    id: Annotated[str, msgspec.Meta(max_length=MAX_ID)] = ""
    parameters: Parameters | None = None
    outputs: Annotated[list[OutputHead], msgspec.Meta(max_length=MAX_TENSORS)] | None = None


_HEAD = msgspec.json.Decoder(Head)
_ENCODER = msgspec.json.Encoder()


def parse_head(text: bytes | memoryview) -> Head:
    """Read the JSON of a request, its tensors' data left as text.

    Raises:
        BadRequest: if it is no JSON, lacks a field, or holds one of a wrong type or size.
    """
    try:
        head = _HEAD.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"not an inference request: {_reason(error)}") from None
    if not head.id.isprintable():
        raise BadRequest("the id holds characters that cannot be printed")
    return head


def parse_tensor(head: InputHead, *, where: str) -> NDArray[Any]:
    """The array of an input whose data is JSON.

    Raises:
        BadRequest: if data and shape or datatype differ, or there is no data.
    """
    dtype = dtype_of(head.datatype, where=where)
    if head.data is msgspec.UNSET:
        raise BadRequest("there is no data", where=where)
    text = memoryview(head.data)
    shape = tuple(head.shape)
    opening = _OPENING.match(text)
    depth = opening[0].count(b"[") if opening else 0
    if depth != 1 and depth != len(shape):
        raise BadRequest("the data is neither flat nor nested as the shape says", where=where)
    try:
        with np.errstate(over="ignore"):  # a value beyond the type's range becomes infinite
            data = np.array(data_decoder(dtype.kind, depth).decode(text), dtype=dtype)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"data: {_reason(error)}", where=where) from None
    except (ValueError, OverflowError):
        raise BadRequest("the data is ragged or beyond its type's range", where=where) from None
    if data.shape != shape and (data.ndim != 1 or data.size != prod(shape)):
        raise BadRequest(
            f"the shape {list(shape)} needs {prod(shape)} values, "
            f"the data has the shape {list(data.shape)}",
            where=where,
        )
    return data.reshape(shape)


def build(head: Head, arrays: list[NDArray[Any]]) -> Request:
    """The request of a parsed head and its arrays.

    Raises:
        BadRequest: if two inputs or two outputs share a name, or a choice is not a boolean.
    """
    wanted = [Wanted(one.name, _flag(one.parameters, "binary_data")) for one in head.outputs or ()]
    for kind, given in (("inputs", head.inputs), ("outputs", wanted)):
        if len(given) > 1 and len({one.name for one in given}) < len(given):
            raise BadRequest("two tensors share a name", where=kind)
    inputs = [Tensor(one.name, data) for one, data in zip(head.inputs, arrays, strict=True)]
    return Request(
        id=head.id,
        inputs=tuple(inputs),
        wanted=tuple(wanted),
        binary=_flag(head.parameters, "binary_data_output") or False,
    )


def read(body: bytes | memoryview) -> Request:
    """Read a request that is JSON throughout.

    Raises:
        BadRequest: if it cannot be read.
    """
    head = parse_head(body)
    arrays = []
    for number, one in enumerate(head.inputs):
        where = f"inputs[{number}]"
        if "binary_data_size" in (one.parameters or {}):
            raise BadRequest(
                "binary data needs the header Inference-Header-Content-Length", where=where
            )
        arrays.append(parse_tensor(one, where=where))
    return build(head, arrays)


def describe(response: Response) -> dict[str, Any]:
    """The response without its outputs, as plain values."""
    return {
        "model_name": response.model,
        "model_version": response.version,
        "id": response.id,
        "parameters": dict(response.parameters),
    }


def output(tensor: Tensor) -> dict[str, Any]:
    """An output tensor as plain values, its data flat in row-major order."""
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.data.shape),
        "data": tensor.data.ravel().tolist(),
    }


def write(response: Response) -> bytes:
    """The response as JSON throughout."""
    return encode({**describe(response), "outputs": [output(one) for one in response.outputs]})


def encode(value: Any) -> bytes:
    """JSON text of plain values."""
    return _ENCODER.encode(value)


@cache
def data_decoder(kind: str, depth: int) -> msgspec.json.Decoder[Any]:
    """A decoder of numbers of a numpy kind, nested ``depth`` lists deep."""
    shape: Any = {"b": bool, "f": float}.get(kind, int)
    for _ in range(depth):
        shape = list[shape]
    return msgspec.json.Decoder(shape)


def _flag(parameters: Parameters | None, name: str) -> bool | None:
    value = parameters.get(name) if parameters else None
    if value is None or isinstance(value, bool):
        return value
    raise BadRequest(f"{name} must be true or false")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error)[:200]
