"""Columns of a table to inputs in [0, 1]: numbers scaled, categories one-hot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.data.parts import TRAIN, drawn
from hauberk.adapters.data.reading import check_values
from hauberk.core.data import Dataset
from hauberk.core.errors import DataError
from hauberk.core.features import Column as Encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Column = NDArray[np.float64] | NDArray[np.str_]

LABELS = ("label", "target", "class")
MAX_COLUMNS = 4096
_MOST_CLASSES = 1000
_MOST_CATEGORIES = 256


def encode(name: str, columns: Mapping[str, Column], *, where: str) -> Dataset:
    """A dataset of rows ``(d,)`` in [0, 1].

    The label is the column ``label``, ``target`` or ``class``, else the last. A number is scaled
    by its range in the train part and clipped to it, a category becomes one column per value seen
    in the train part. The split is drawn from the labels.

    Raises:
        DataError: if a value is missing, or there are too many columns, categories or classes.
    """
    if not 2 <= len(columns) <= MAX_COLUMNS:
        raise DataError(f"{len(columns)} columns, expected 2 to {MAX_COLUMNS}", where=where)
    label = _label_of(columns)
    if len(columns[label]) == 0:
        raise DataError("no rows", where=where)
    _check_complete(label, columns[label], where)
    values, y = np.unique(columns[label], return_inverse=True)
    if not 2 <= len(values) <= _MOST_CLASSES:
        raise DataError(
            f"label column {label!r} has {len(values)} values, expected 2 to {_MOST_CLASSES}",
            where=where,
            hint="name the column of the classes 'label'",
        )
    y = y.astype(np.int64)
    parts = drawn(y)
    train = parts == TRAIN
    if not train.any():
        raise DataError(f"{len(y)} rows are too few to split", where=where)
    features, described = [], []
    width = 0
    for title, column in columns.items():
        if title != label:
            _check_complete(title, column, where)
            encoded, told = _feature(title, column, train, where)
            features.append(encoded)
            described.append(replace(told, start=width))
            width += encoded.shape[1]
            check_values(width * len(y), where)
    x = np.concatenate(features, axis=1)
    return Dataset(name=name, x=x, y=y, classes=len(values), part=parts, columns=tuple(described))


def _label_of(columns: Mapping[str, Any]) -> str:
    titles = {title.strip().lower(): title for title in reversed(list(columns))}
    return next((titles[name] for name in LABELS if name in titles), list(columns)[-1])


def _check_complete(title: str, column: Column, where: str) -> None:
    bad = ~np.isfinite(column) if column.dtype.kind == "f" else column == ""
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"column {title[:80]!r} has a missing or infinite value in row {row + 1}", where=where
        )


def _feature(
    title: str, column: Column, train: NDArray[np.bool_], where: str
) -> tuple[NDArray[np.float32], Encoded]:
    """The encoded columns and how they came about; where they start is not known yet."""
    if column.dtype.kind == "f":
        low, high = column[train].min(), column[train].max()
        with np.errstate(over="ignore"):
            span = high - low
        if not np.isfinite(span):
            raise DataError(f"column {title[:80]!r} spans more than a number holds", where=where)
        scaled = np.clip(column, low, high) - low
        numbers: NDArray[np.float64] = scaled / span if span > 0 else scaled
        told = Encoded(
            title=title,
            start=0,
            low=float(low),
            span=float(span) if span > 0 else 1.0,
            whole=bool((column == np.rint(column)).all()),
        )
        return numbers[:, None].astype(np.float32), told
    seen = np.unique(column[train])
    if len(seen) > _MOST_CATEGORIES:
        raise DataError(
            f"column {title[:80]!r} has more than {_MOST_CATEGORIES} categories",
            where=where,
            hint="drop identifiers and free text",
        )
    one_hot: NDArray[np.bool_] = column[:, None] == seen[None, :]
    told = Encoded(title=title, start=0, values=tuple(str(one) for one in seen))
    return one_hot.astype(np.float32), told
