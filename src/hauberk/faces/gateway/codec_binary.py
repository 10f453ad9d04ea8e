"""The binary tensor extension: JSON first, then the raw little-endian bytes of the tensors.

The header ``Inference-Header-Content-Length`` says where the JSON ends. Each binary input states
its ``binary_data_size``; together they are the rest of the body, exactly. An input without one
carries its data in the JSON.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.faces.gateway.codec_json import (
    build,
    describe,
    encode,
    output,
    parse_head,
    parse_tensor,
)
from hauberk.faces.gateway.faults import BadRequest
from hauberk.faces.gateway.tensors import dtype_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.faces.gateway.codec_json import InputHead
    from hauberk.faces.gateway.tensors import Request, Response

HEADER = b"inference-header-content-length"
_SMALL = 2**16
_LENGTH = re.compile(rb"[0-9]{1,12}\Z")


def head_length(value: bytes, *, size: int) -> int:
    """Length of the JSON, from the header's value and the size of the body.

    Raises:
        BadRequest: if it is no number or beyond the body.
    """
    if not _LENGTH.match(value) or not 0 < int(value) <= size:
        raise BadRequest(
            f"must be a number from 1 to the body's length {size}",
            where="Inference-Header-Content-Length",
        )
    return int(value)


def read(body: bytes | memoryview, length: int) -> Request:
    """Read a request whose first ``length`` bytes are JSON.

    The arrays may share the body's memory and be read-only.

    Raises:
        BadRequest: if it cannot be read, or a stated size is not the tensor's or not there.
    """
    view = memoryview(body)
    head, rest = parse_head(view[:length]), view[length:]
    arrays = []
    for number, one in enumerate(head.inputs):
        where = f"inputs[{number}]"
        size = (one.parameters or {}).get("binary_data_size")
        if size is None:
            arrays.append(parse_tensor(one, where=where))
            continue
        array = _parse_raw(one, size, rest, where=where)
        arrays.append(array)
        rest = rest[array.nbytes :]
    if len(rest):
        raise BadRequest(f"{len(rest)} bytes follow that belong to no input")
    return build(head, arrays)


def write(response: Response, request: Request) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where raw bytes follow it."""
    described, raw = [], []
    for tensor in response.outputs:
        if not request.is_binary(tensor.name):
            described.append(output(tensor))
            continue
        data = np.ascontiguousarray(tensor.data)
        raw.append(bytes_of(data))
        described.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.data.shape),
                "parameters": {"binary_data_size": data.nbytes},
            }
        )
    head = encode({**describe(response), "outputs": described})
    return b"".join([head, *raw]), len(head) if raw else None


def bytes_of(data: NDArray[Any]) -> bytes | memoryview:
    """The bytes of a contiguous array; not copied where that costs more than it takes."""
    if data.nbytes <= _SMALL:
        return data.tobytes()
    return data.reshape(-1).view(np.uint8).data


def _parse_raw(head: InputHead, size: object, rest: memoryview, *, where: str) -> NDArray[Any]:
    dtype = dtype_of(head.datatype, where=where)
    needed = prod(head.shape) * dtype.itemsize
    if type(size) is not int or size != needed:
        raise BadRequest(
            f"binary_data_size is {str(size)[:20]}, the shape and datatype need {needed}",
            where=where,
        )
    if len(head.data or b""):
        raise BadRequest("both data and binary_data_size are given", where=where)
    if needed > len(rest):
        raise BadRequest(f"{needed} bytes are announced, {len(rest)} are left", where=where)
    if dtype.kind == "b" and needed and max(rest[:needed]) > 1:
        raise BadRequest("a boolean byte is neither 0 nor 1", where=where)
    return np.frombuffer(rest[:needed], dtype=dtype).reshape(head.shape)
