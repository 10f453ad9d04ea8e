"""Reading what an upstream answers: arrays out of JSON or raw bytes, or garbage."""

from __future__ import annotations

from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.adapters.upstream.trouble import Trouble
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

DTYPES = {
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


@contextmanager
def garbage(what: str) -> Iterator[None]:
    """Whatever goes wrong in here is the fault of an answer that cannot be read."""
    try:
        yield
    except (
        DataError,
        msgspec.DecodeError,
        RecursionError,
        LookupError,
        OverflowError,
        TypeError,
        ValueError,
    ):
        raise Trouble("garbage", f"{what} cannot be read") from None


def tensor(datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> NDArray[Any]:
    """An array of raw little-endian bytes.

    Raises:
        ValueError: if the bytes are too few or too many.
        KeyError: if the datatype is no number's.
    """
    if any(size < 0 for size in shape) or len(shape) > 8:
        raise ValueError("shape")
    data = np.frombuffer(raw, dtype=DTYPES[datatype])
    if data.size != prod(shape):
        raise ValueError("size")
    return data.reshape(shape)


def chosen(tensors: Mapping[str, NDArray[Any]], name: str, *fallbacks: str) -> NDArray[Any]:
    """The tensor of a name; without one, the first of the fallbacks, or the only one.

    Raises:
        LookupError: if there is no such tensor.
    """
    if name:
        return tensors[name]
    found = next((one for one in fallbacks if one in tensors), None)
    if found is None and len(tensors) == 1:
        found = next(iter(tensors))
    if found is None:
        raise LookupError
    return tensors[found]


def row_shape(tensors: Sequence[Mapping[str, Any]], name: str, *fallbacks: str) -> tuple[int, ...]:
    """Shape of a row of the tensor that a server's metadata describes; empty if it is not fixed."""
    by_name = {str(one["name"]): one for one in tensors}
    name = name or next((one for one in fallbacks if one in by_name), "")
    if not name and len(by_name) == 1:
        name = next(iter(by_name))
    sizes = tuple(int(size) for size in by_name[name]["shape"][1:]) if name in by_name else ()
    return sizes if all(size > 0 for size in sizes) else ()
