"""Tables of rows: CSV (packed or not) and Parquet."""

from __future__ import annotations

import csv
import io
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.data.columns import MAX_COLUMNS, encode
from hauberk.adapters.data.reading import check_values, existing, read_bounded
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from hauberk.adapters.data.columns import Column
    from hauberk.core.data import Dataset

_MOST_TEXT = 256


def load_csv(argument: str) -> Dataset:
    """Rows of a comma-separated file with a header line, UTF-8, gzip or plain.

    A column is numeric if every value in it is a number; see :func:`columns.encode` for the rest.

    Raises:
        DataError: if the file is damaged, ragged, empty or too large.
    """
    path = existing(argument)
    try:
        text = read_bounded(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", where=str(path)) from None
    titles, rows = _parse(text, str(path))
    columns = {
        title: _column(title, [row[number] for row in rows], str(path))
        for number, title in enumerate(titles)
    }
    return encode(_stem(path), columns, where=str(path))


def load_parquet(argument: str) -> Dataset:
    """Rows of a Parquet file; needs pyarrow.

    Raises:
        DataError: if pyarrow is absent, or the file is damaged, too large or holds nested columns.
    """
    path = existing(argument)
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(
            "reading Parquet needs pyarrow", where="parquet", hint="pip install hauberk[parquet]"
        ) from None
    where = str(path)
    try:
        with parquet.ParquetFile(path) as file:
            meta = file.metadata
            if meta.num_columns > MAX_COLUMNS:
                raise DataError(f"{meta.num_columns} columns, more than {MAX_COLUMNS}", where=where)
            check_values(meta.num_rows * meta.num_columns, where)
            table = file.read()
        titles = list(table.column_names)
        _check_titles(titles, where)
        columns = {
            title: _arrow(title, column, where)
            for title, column in zip(titles, table.columns, strict=True)
        }
    except DataError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise DataError(f"not a readable Parquet file: {reason}", where=where) from None
    return encode(_stem(path), columns, where=where)


def _parse(text: str, where: str) -> tuple[list[str], list[list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        titles = [title.strip() for title in next(reader, [])]
        if len(titles) > MAX_COLUMNS:
            raise DataError(f"{len(titles)} columns, more than {MAX_COLUMNS}", where=where)
        _check_titles(titles, where)
        for row in reader:
            if not row:
                continue
            if len(row) != len(titles):
                raise DataError(
                    f"line {reader.line_num} has {len(row)} values for {len(titles)} columns",
                    where=where,
                )
            rows.append(row)
            check_values(len(rows) * len(titles), where)
    except csv.Error as error:
        raise DataError(f"line {reader.line_num}: {error}", where=where) from None
    return titles, rows


def _check_titles(titles: list[str], where: str) -> None:
    if len(set(titles)) != len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise DataError(f"two columns are named {twice[:80]!r}", where=where)


def _column(title: str, cells: list[str], where: str) -> Column:
    """Numbers if all cells are numbers, else texts. An empty cell stays missing in both."""
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells], dtype=float)
    except ValueError:
        return _texts(title, cells, where)


def _texts(title: str, cells: list[str], where: str) -> Column:
    longest = max(map(len, cells), default=0)
    if longest > _MOST_TEXT:
        raise DataError(
            f"column {title[:80]!r} holds {longest} characters in one cell",
            where=where,
            hint="drop free text",
        )
    check_values(longest * len(cells), where)
    return np.array([cell.strip() for cell in cells], dtype=str)


def _arrow(title: str, column: Any, where: str) -> Column:
    if column.null_count:
        raise DataError(
            f"column {title[:80]!r} has {column.null_count} missing values", where=where
        )
    values = column.to_numpy()
    if values.dtype.kind in "iufb":
        numbers: NDArray[np.float64] = values.astype(np.float64)
        return numbers
    if all(isinstance(value, str) for value in values):
        return _texts(title, list(values), where)
    raise DataError(
        f"column {title[:80]!r} is {column.type}", where=where, hint="numbers and texts are read"
    )


def _stem(path: Path) -> str:
    return path.name.partition(".")[0] or path.name
