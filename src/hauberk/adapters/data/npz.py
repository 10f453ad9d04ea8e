"""Numpy archives: ``x``, ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test``."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.data.parts import official
from hauberk.adapters.data.reading import MAX_VALUES, check_values, existing
from hauberk.core.data import Dataset
from hauberk.core.errors import DataError
from hauberk.core.samples import Samples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_CHANNELS = (1, 3, 4)
_MOST_BYTES = 8 * MAX_VALUES


def load(argument: str) -> Dataset:
    """A dataset from one archive; nothing in it is unpickled.

    Inputs are float in [0, 1], or uint8 and then divided by 255; images come as NHWC, NCHW or NHW
    and leave as NCHW. Labels are whole numbers from 0, or one row for each sample with a single 1.
    With ``x_train`` and ``x_test`` the test part is kept; ``track_train`` (or ``group_train``)
    names what must stay in one split.

    Raises:
        DataError: if a key is missing, an array is damaged or pickled, or sizes do not fit.
    """
    path = existing(argument)
    arrays = _read(path)
    where = str(path)
    if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
        check_values(arrays["x_train"].size + arrays["x_test"].size, where)
        train, test = (_inputs(arrays[key], where) for key in ("x_train", "x_test"))
        if train.shape[1:] != test.shape[1:]:
            raise DataError(
                f"train {train.shape[1:]} and test {test.shape[1:]} differ", where=where
            )
        y = _labels([arrays["y_train"], arrays["y_test"]], [len(train), len(test)], where)
        is_test = np.arange(len(y)) >= len(train)
        parts = official(y, is_test, groups=_groups(arrays, len(train), len(test), where))
        return _dataset(path, np.concatenate([train, test]), y, parts)
    if {"x", "y"} <= arrays.keys():
        check_values(arrays["x"].size, where)
        x = _inputs(arrays["x"], where)
        return _dataset(path, x, _labels([arrays["y"]], [len(x)], where), None)
    raise DataError(
        f"holds {', '.join(sorted(arrays)[:6]) or 'nothing of use'}",
        where=where,
        hint="expected x and y, or x_train, y_train, x_test and y_test",
    )


def load_samples(argument: str) -> Samples:
    """Samples of one archive, whose targets may be numbers, or several of them each.

    Inputs as :func:`load` takes them, from ``x_test`` and ``y_test`` or else ``x`` and ``y``.

    Raises:
        DataError: if a key is missing, an array is damaged or pickled, or sizes do not fit.
    """
    path = existing(argument)
    arrays, where = _read(path), str(path)
    for x, y in (("x_test", "y_test"), ("x", "y")):
        if {x, y} <= arrays.keys():
            check_values(arrays[x].size + arrays[y].size, where)
            targets = arrays[y]
            if targets.dtype.kind not in "iubf" or targets.ndim < 1:
                raise DataError(f"targets are {targets.dtype} {targets.shape}", where=where)
            # Whole numbers stay so: a label may be an index.
            form = np.float32 if targets.dtype.kind == "f" else np.int64
            return Samples(name=path.stem, x=_inputs(arrays[x], where), y=targets.astype(form))
    raise DataError("holds no x and y", where=where, hint="expected x and y, or x_test and y_test")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that matter. Sizes are checked before anything is unpacked."""
    keys = {"x", "y", "x_train", "y_train", "x_test", "y_test", "track_train", "group_train"}
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > _MOST_BYTES:
            raise DataError(f"unpacks to {size} bytes, more than {_MOST_BYTES}", where=str(path))
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files if key in keys}
    except DataError:
        raise
    except MemoryError:
        raise DataError("an array does not fit into memory", where=str(path)) from None
    except Exception as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        if "allow_pickle" in reason or "Object arrays" in reason:
            reason = "an array is pickled, which could run code"
        raise DataError(f"not a readable npz archive: {reason}", where=str(path)) from None


def _inputs(x: NDArray[Any], where: str) -> NDArray[np.float32]:
    """Float32 ``(n, c, h, w)`` or ``(n, d)``."""
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise DataError(f"inputs are {x.dtype}, expected uint8 or float", where=where)
    if x.ndim not in (2, 3, 4) or x.size == 0:
        raise DataError(f"inputs of shape {x.shape}", where=where, hint="images or rows")
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in _CHANNELS and x.shape[3] in _CHANNELS:
        x = x.transpose(0, 3, 1, 2)
    inputs = np.ascontiguousarray(x, dtype=np.float32)
    return inputs / np.float32(255) if x.dtype == np.uint8 else inputs


def _labels(parts: list[NDArray[Any]], sizes: list[int], where: str) -> NDArray[np.int64]:
    parts = [_from_rows(y) for y in parts]
    for y, size in zip(parts, sizes, strict=True):
        if y.dtype.kind not in "iub" or y.size != size or y.ndim not in (1, 2):
            raise DataError(
                f"labels are {y.dtype} {y.shape} for {size} samples, expected one whole number "
                "each",
                where=where,
            )
    return np.concatenate([y.reshape(-1).astype(np.int64) for y in parts])


def _from_rows(y: NDArray[Any]) -> NDArray[Any]:
    """The place of the only 1 in each row; whatever else stays what it is."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "iubf":
        return y
    single = ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all()
    return y.argmax(1) if single else y


def _groups(
    arrays: dict[str, NDArray[Any]], train: int, test: int, where: str
) -> NDArray[np.str_] | None:
    found = arrays.get("track_train", arrays.get("group_train"))
    if found is None:
        return None
    if found.shape != (train,):
        raise DataError(f"{found.shape} groups for {train} train samples", where=where)
    # Test samples are fixed already; a prefix keeps their groups apart from the others.
    return np.concatenate([np.char.add("g", found.astype(str)), np.full(test, "t")])


def _dataset(
    path: Path, x: NDArray[np.float32], y: NDArray[np.int64], part: NDArray[np.int8] | None
) -> Dataset:
    return Dataset(name=path.stem, x=x, y=y, classes=int(y.max(initial=0)) + 1, part=part)
