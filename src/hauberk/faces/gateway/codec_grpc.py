"""Requests and responses as protocol buffers (Open Inference Protocol V2, grpc_predict_v2.proto).

Tensors come raw (``raw_input_contents``) or typed (``contents``), never both; outputs go raw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.upstream.wire import (
    Value,
    fields,
    message,
    opening,
    packed,
    put,
    put_always,
    signed,
    text,
    varints,
)
from hauberk.core.errors import DataError
from hauberk.faces.gateway.codec_binary import bytes_of
from hauberk.faces.gateway.faults import BadRequest
from hauberk.faces.gateway.limits import MAX_ID, MAX_RANK, MAX_TENSORS
from hauberk.faces.gateway.tensors import Request, Tensor, Wanted, dtype_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.faces.gateway.tensors import Response

_SHORT = 256
# Number of the typed contents' field, and how its values are written.
_TYPED = {
    1: ("BOOL", None),
    2: ("INT8 INT16 INT32", None),
    3: ("INT64", None),
    4: ("UINT8 UINT16 UINT32", None),
    5: ("UINT64", None),
    6: ("FP32", "<f4"),
    7: ("FP64", "<f8"),
}


@dataclass(frozen=True)
class _Input:
    name: str = ""
    datatype: str = ""
    shape: tuple[int, ...] = ()
    contents: memoryview | None = None


Parts = list[tuple[int, Value]]
"""A message's fields in order."""


def split(data: bytes | memoryview) -> Parts:
    """The fields of a message, none of them read yet.

    Raises:
        BadRequest: if the bytes are no message.
    """
    try:
        return list(fields(memoryview(data)))
    except DataError as error:
        raise BadRequest(error.what) from None


def read_names(data: bytes | Parts) -> tuple[str, str]:
    """Fields 1 and 2 of a message as text: a model's name and version.

    Raises:
        BadRequest: if the bytes are no such message.
    """
    found = {1: "", 2: ""}
    try:
        for number, value in data if isinstance(data, list) else split(data):
            if number in found:
                found[number] = text(value)
    except DataError as error:
        raise BadRequest(error.what) from None
    return found[1], found[2]


def read(data: bytes | Parts) -> tuple[Request, str, str]:
    """The request, and the model's name and version.

    Raises:
        BadRequest: if it is none, or tensors and contents do not go together.
    """
    try:
        return _read(data if isinstance(data, list) else split(data))
    except DataError as error:
        raise BadRequest(error.what) from None


def _read(parts: Parts) -> tuple[Request, str, str]:
    name, version = read_names(parts)
    identity = ""
    inputs: list[_Input] = []
    wanted: list[Wanted] = []
    raw: list[memoryview] = []
    for number, value in parts:
        if number == 3:
            identity = text(value, most=MAX_ID)
        elif number == 5:
            head = message(value)
            # Most requests of a client describe their tensor in the same words.
            inputs.append(_known(bytes(head)) if len(head) <= _SHORT else _input(head))
        elif number == 6:
            wanted.append(Wanted(read_names(bytes(message(value))[:4096])[0], binary=True))
        elif number == 7:
            raw.append(message(value))
        if len(inputs) > MAX_TENSORS or len(wanted) > MAX_TENSORS or len(raw) > MAX_TENSORS:
            raise BadRequest(f"more than {MAX_TENSORS} tensors")
    if not inputs or not identity.isprintable():
        raise BadRequest("there is no input, or the id cannot be printed")
    if raw and len(raw) != len(inputs):
        raise BadRequest(f"{len(raw)} raw contents for {len(inputs)} inputs")
    tensors = tuple(
        Tensor(one.name, _array(one, raw[place] if raw else None, f"inputs[{place}]"))
        for place, one in enumerate(inputs)
    )
    for kind, names in (
        ("inputs", [t.name for t in tensors]),
        ("outputs", [w.name for w in wanted]),
    ):
        if len(set(names)) < len(names):
            raise BadRequest("two tensors share a name", where=kind)
    request = Request(id=identity, inputs=tensors, wanted=tuple(wanted), binary=True)
    return request, name, version


@lru_cache(maxsize=256)
def _head(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """What an answer says of one of its tensors."""
    return put_always(5, put(1, name) + put(2, datatype) + put(3, packed(shape)))


def write(response: Response) -> bytes:
    """The response with raw contents."""
    described: list[bytes] = []
    raw: list[bytes | memoryview] = []
    for tensor in response.outputs:
        described.append(_head(tensor.name, tensor.datatype, tensor.data.shape))
        data = np.ascontiguousarray(tensor.data)
        raw += (opening(6, data.nbytes), bytes_of(data))
    head = put(1, response.model) + put(2, response.version) + put(3, response.id)
    told = response.parameters.items()
    parameters = _parameters(4, tuple((name, type(value), value) for name, value in told))
    return b"".join([head, parameters, *described, *raw])


@lru_cache(maxsize=256)
def _known(data: bytes) -> _Input:
    return _input(memoryview(data))


def _input(data: memoryview) -> _Input:
    name = datatype = ""
    shape: list[int] = []
    contents: memoryview | None = None
    for number, value in fields(data):
        match number:
            case 1:
                name = text(value)
            case 2:
                datatype = text(value)
            case 3:
                shape += [signed(size) for size in varints(value)]
            case 5:
                contents = message(value)
        if len(shape) > MAX_RANK:
            raise BadRequest(f"more than {MAX_RANK} dimensions", where=name)
    if any(not 0 <= size <= 2**31 for size in shape):
        raise BadRequest("a dimension is out of range", where=name)
    return _Input(name, datatype, tuple(shape), contents)


def _array(one: _Input, raw: memoryview | None, where: str) -> NDArray[Any]:
    dtype = dtype_of(one.datatype, where=where)
    count = prod(one.shape)
    if raw is None:
        data = _typed(one, dtype, where)
    elif one.contents is not None and len(one.contents):
        raise BadRequest("both contents and raw contents are given", where=where)
    elif len(raw) != count * dtype.itemsize:
        raise BadRequest(
            f"{len(raw)} raw bytes, the shape and datatype need {count * dtype.itemsize}",
            where=where,
        )
    else:
        if dtype.kind == "b" and count and max(raw) > 1:
            raise BadRequest("a boolean byte is neither 0 nor 1", where=where)
        data = np.frombuffer(raw, dtype=dtype)
    if data.size != count:
        raise BadRequest(f"{data.size} values, the shape needs {count}", where=where)
    return data.reshape(one.shape)


def _typed(one: _Input, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    parts: list[NDArray[Any]] = []
    for number, value in fields(one.contents or memoryview(b"")):
        kinds, form = _TYPED.get(number, ("", None))
        if one.datatype not in kinds.split():
            raise BadRequest(f"contents of another type than {one.datatype}", where=where)
        parts.append(_values(value, form, dtype, where))
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _values(value: Value, form: str | None, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    if form is not None:
        data = message(value)
        if len(data) % np.dtype(form).itemsize:
            raise BadRequest("contents end within a value", where=where)
        return np.frombuffer(data, dtype=form)
    numbers = varints(value)
    if dtype.kind == "i":
        numbers = [signed(number) for number in numbers]
    try:
        return np.array(numbers, dtype=dtype)
    except OverflowError:
        raise BadRequest("a value is beyond its type's range", where=where) from None


@lru_cache(maxsize=64)
def _parameters(
    number: int, values: tuple[tuple[str, type, str | int | float | bool], ...]
) -> bytes:
    """Remembered, since most answers of a model have the same; by type, as ``True == 1``."""
    made = []
    for name, _, value in values:
        if isinstance(value, bool):
            choice = put(1, value)
        elif isinstance(value, int):
            choice = put(2, value)
        else:
            choice = put_always(3, str(value).encode())
        made.append(put_always(number, put(1, name) + put_always(2, choice)))
    return b"".join(made)
