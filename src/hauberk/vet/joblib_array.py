"""joblib writes arrays raw between the opcodes: how long the one behind a wrapper is.

The wrapper's state gives shape, type and alignment. Only constants are believed; anything else
is unclear, and then nobody can say where the opcodes go on.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

from hauberk.vet.values import Bag, Made, Ref

if TYPE_CHECKING:
    from hauberk.vet.source import Source

_MODULE = re.compile(r"(sklearn\.externals\.)?joblib\.numpy_pickle\Z")
_TYPE = re.compile(r"([<>|=]?)([biufcSUVmM?O])(\d{0,10})(\[\w+\])?\Z")
_MOST = 1 << 48


class Unclear(Exception):
    """The size of an array does not follow from constants."""


def is_wrapper(made: Made) -> bool:
    """Whether joblib replaces this object by the array that follows it."""
    return made.by.name == "NumpyArrayWrapper" and bool(_MODULE.match(made.by.module))


def array_bytes(wrapper: Made, source: Source, place: int) -> int | None:
    """The bytes of padding and array from ``place`` on; None for a pickle of objects.

    Raises:
        Unclear: if the state is not made of constants.
    """
    state = wrapper.state.items if isinstance(wrapper.state, Bag) else {}
    shape = state.get("shape")
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < _MOST for n in shape):
        raise Unclear("an array whose shape is not written as numbers")
    width = _width(state.get("dtype"))
    if width is None:
        return None
    padding = 0
    if state.get("numpy_array_alignment_bytes") is not None:
        first = source.read(place, 1)
        padding = 1 + (first[0] if first else 0)
    return padding + prod(shape) * width


def _width(dtype: Any) -> int | None:
    """Bytes of one element; None if it holds objects."""
    if not isinstance(dtype, Made) or not isinstance(dtype.by, Ref) or dtype.by.name != "dtype":
        raise Unclear("an array whose type is not written as a numpy dtype")
    code = dtype.args[0] if dtype.args else None
    match = _TYPE.match(code) if isinstance(code, str) else None
    if match is None:
        raise Unclear("an array of an unknown type")
    kind, count = match[2], int(match[3] or 0)
    if kind == "O":
        return None
    if kind == "V":
        return _structured(dtype, count)
    if not count:
        count = {"b": 1, "?": 1}.get(kind, -1)
        if count < 0:
            raise Unclear("an array of an unknown type")
    return count * 4 if kind == "U" else count


def _structured(dtype: Made, count: int) -> int | None:
    """A record; its fields say whether it holds objects."""
    state = dtype.state
    if not isinstance(state, tuple) or len(state) < 6:
        raise Unclear("an array of records without a description")
    fields = state[4]
    for entry in fields.items.values() if isinstance(fields, Bag) else ():
        if not isinstance(entry, tuple) or _width(entry[0]) is None:
            raise Unclear("an array of records with objects")
    flags = state[7] if len(state) > 7 else 0
    if not isinstance(fields, Bag) or not isinstance(flags, int) or flags & 1:
        raise Unclear("an array of records with objects")
    return count
