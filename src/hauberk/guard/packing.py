"""Packing: facts and float arrays in an npz with deterministic bytes and no pickle."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.digest import canonical_json
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LIMIT = 4 * 2**20
"""The most bytes that are read."""

_MORE = 256
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(facts: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float64]]) -> bytes:
    """An npz with the arrays as little-endian doubles and the facts as JSON in ``facts``."""
    parts: dict[str, NDArray[Any]] = {
        "facts": np.frombuffer(canonical_json(dict(facts)), dtype=np.uint8),
        **{key: np.ascontiguousarray(array, dtype="<f8") for key, array in arrays.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in parts.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            info.create_system, info.external_attr = 3, 0o600 << 16
            body = io.BytesIO()
            stored = array if array.dtype == np.uint8 else array.astype("<f8")
            np.lib.format.write_array(
                body, np.ascontiguousarray(stored), (1, 0), allow_pickle=False
            )
            archive.writestr(info, body.getvalue())
    return buffer.getvalue()


def unpack(
    data: bytes, keys: Sequence[str], *, more: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """The facts and exactly the arrays named ``keys`` of what :func:`pack` wrote.

    After those, at most 256 further ones may follow whose names begin with one of ``more``.

    Raises:
        DataError: if the bytes are more than ``LIMIT`` or not of that form.
    """
    if len(data) > LIMIT:
        raise DataError(f"{len(data)} bytes, more than {LIMIT}", where="npz")
    names = [f"{key}.npy" for key in ("facts", *keys)]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            found = [member.filename for member in members]
            rest = found[len(names) :]
            if found[: len(names)] != names or len(rest) > _MORE or len(set(found)) < len(found):
                raise DataError("other arrays than expected", where="npz")
            if any(not name.startswith(more) or not name.endswith(".npy") for name in rest):
                raise DataError("other arrays than expected", where="npz")
            # Stored, not deflated: what is read can never be more than what came in.
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise DataError("compressed arrays are not read", where="npz")
            bodies = [archive.read(member) for member in members]
        facts = json.loads(_array(bodies[0], "|u1").tobytes())
        every = [*keys, *(name.removesuffix(".npy") for name in rest)]
        arrays = {key: _array(body, "<f8") for key, body in zip(every, bodies[1:], strict=True)}
    except DataError:
        raise
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError, NotImplementedError):
        raise DataError("damaged or not an npz", where="npz") from None
    except RecursionError:
        raise DataError("nested too deep", where="npz") from None
    if not isinstance(facts, dict):
        raise DataError("the facts are not an object", where="npz")
    return facts, arrays


def _array(body: bytes, dtype: str) -> NDArray[Any]:
    """Read an npy of version 1 whose header and size fit; nothing is allocated on its word."""
    stream = io.BytesIO(body)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise DataError("an array of another npy version", where="npz")
    shape, by_column, kind = np.lib.format.read_array_header_1_0(stream)
    if kind != np.dtype(dtype) or by_column:
        raise DataError(f"an array of type {kind}, not {dtype}", where="npz")
    array = np.frombuffer(body[stream.tell() :], dtype=dtype)
    if any(side < 0 for side in shape):
        raise DataError("an array of negative shape", where="npz")
    return array.reshape(shape).astype(array.dtype.newbyteorder("="))
