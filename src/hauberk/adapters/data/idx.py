"""The idx files of MNIST, Fashion-MNIST and their kin (LeCun and Cortes), packed or not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hauberk.adapters.data.parts import official
from hauberk.adapters.data.reading import MAX_VALUES, check_values, existing, read_bounded
from hauberk.core.data import Dataset
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_UINT8 = 0x08


def load(argument: str) -> Dataset:
    """Images ``(1, h, w)`` in [0, 1] of a folder with the four official files.

    Test is the official test part; validation and calibration (5000 each at most) come out of the
    official train part.

    Raises:
        DataError: if a file is missing, truncated, or not what its header says.
    """
    folder = existing(argument, folder=True)
    train_x, train_y = _part(folder, "train")
    test_x, test_y = _part(folder, "t10k")
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DataError(
            f"train images are {train_x.shape[1:]}, test images {test_x.shape[1:]}",
            where=str(folder),
        )
    check_values(train_x.size + test_x.size, str(folder))
    x = np.concatenate([train_x, test_x])[:, None].astype(np.float32)
    x /= np.float32(255)
    y = np.concatenate([train_y, test_y]).astype(np.int64)
    test = np.arange(len(y)) >= len(train_y)
    return Dataset(
        name=folder.resolve().name, x=x, y=y, classes=int(y.max()) + 1, part=official(y, test)
    )


def _part(folder: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = _read(folder, f"{name}-images", dimensions=3)
    labels = _read(folder, f"{name}-labels", dimensions=1)
    if len(images) != len(labels):
        raise DataError(f"{len(images)} {name} images but {len(labels)} labels", where=str(folder))
    if images.size == 0:
        raise DataError(f"no {name} images", where=str(folder))
    return images, labels


def _read(folder: Path, stem: str, *, dimensions: int) -> NDArray[np.uint8]:
    """Two zero bytes, the type, the number of dimensions, their sizes, then the values."""
    names = [f"{stem}{dash}idx{dimensions}-ubyte{end}" for dash in "-." for end in ("", ".gz")]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"no file {names[0]} or {names[1]}", where=str(folder))
    start = 4 + 4 * dimensions
    content = read_bounded(path, MAX_VALUES + start)
    if content[:4] != bytes((0, 0, _UINT8, dimensions)):
        raise DataError(
            f"starts with {content[:4].hex() or 'nothing'}, expected 000008{dimensions:02x}",
            where=str(path),
        )
    if len(content) < start:
        raise DataError("truncated within its header", where=str(path))
    shape = np.frombuffer(content, dtype=">u4", count=dimensions, offset=4).tolist()
    expected = math.prod(shape)
    if len(content) - start != expected:
        fault = "truncated" if len(content) - start < expected else "longer than its header says"
        raise DataError(
            f"{fault}: {len(content) - start} values, header says {expected}", where=str(path)
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
