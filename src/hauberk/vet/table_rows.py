"""Each row of a table against its schema: kind, limits, blanks, labels, and what it hides."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from hauberk.vet.embedded import embedded
from hauberk.vet.table import number
from hauberk.vet.table_schema import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.table import Table
    from hauberk.vet.table_schema import Column, Schema

_FALSE_TRUE = frozenset({"true", "false", "yes", "no", "0", "1", "t", "f"})
_CORE = 0.995  # what share of a column is its body, beyond which a value may be an outlier
_FEWEST = 20
_RARE = 0.005


def check_rows(table: Table, schema: Schema) -> None:
    """Set apart every row with a cell that does not fit, is far out, or hides something."""
    for place, name in enumerate(table.header):
        column = schema.columns.get(name)
        if column is None:
            continue
        cells = table.column(place)
        known: dict[str, list[tuple[str, str]]] = {}
        for row, cell in enumerate(cells):
            if cell not in known:
                known[cell] = list(_faults(name, column, cell))
            for rule, reason in known[cell]:
                table.put_apart(row, rule, reason)
        if schema.outliers and column.kind in {"integer", "number"} and name != schema.label:
            _far_out(table, name, column, cells)
    _missing_columns(table, schema)
    if schema.label in table.header:
        _labels(table, schema)


def _faults(name: str, column: Column, cell: str) -> Iterator[tuple[str, str]]:
    """What is wrong with one cell by itself: rules and reasons."""
    shown = cell[:40]
    if cell.lower() in MISSING:
        if column.required:
            yield "HB-V303", f"{name} is missing"
        return
    yield from _kind(name, column, cell)
    if column.values and cell not in column.values:
        yield "HB-V304", f"{name} is {shown!r}, none of its values"
    if column.pattern and not re.fullmatch(column.pattern, cell):
        yield "HB-V304", f"{name} is {shown!r}, not of its form"
    hidden = embedded(cell) if number(cell) is None else ""
    if hidden:
        yield "HB-V309", f"{name} holds {hidden}"


def _kind(name: str, column: Column, cell: str) -> Iterator[tuple[str, str]]:
    """Whether a cell is of its column's kind and range."""
    shown = cell[:40]
    if column.kind in {"integer", "number"}:
        value = number(cell)
        if value is None:
            yield "HB-V302", f"{name} is {shown!r}, no number"
        elif not math.isfinite(value):
            yield "HB-V303", f"{name} is {shown}, not finite"
        elif column.kind == "integer" and not value.is_integer():
            yield "HB-V302", f"{name} is {shown}, no whole number"
        elif not (column.min is None or value >= column.min) or not (
            column.max is None or value <= column.max
        ):
            yield "HB-V304", f"{name} is {shown}, out of its range"
    elif column.kind == "date":
        if not _is_date(cell):
            yield "HB-V302", f"{name} is {shown!r}, no date"
    elif column.kind == "boolean" and cell.lower() not in _FALSE_TRUE:
        yield "HB-V302", f"{name} is {shown!r}, neither true nor false"


def _is_date(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return True


def _missing_columns(table: Table, schema: Schema) -> None:
    lacking = [n for n, one in schema.columns.items() if one.required and n not in table.header]
    extra = [name for name in table.header if name not in schema.columns]
    for row in range(len(table.rows)) if lacking else ():
        table.put_apart(row, "HB-V301", f"the column {lacking[0]} is missing")
    if schema.declared and extra:
        for row in range(len(table.rows)):
            table.put_apart(row, "HB-V301", f"the column {extra[0]} is not declared")


def _far_out(table: Table, name: str, column: Column, cells: list[str]) -> None:
    """Values that lie further from the body of the column than the body is wide.

    They have to do so on the plain and on a logarithmic scale, since amounts have long tails.
    """
    values = np.array([_finite(cell) for cell in cells])
    known = values[np.isfinite(values)]
    if len(known) < _FEWEST:
        return
    far = np.isfinite(values)
    for scaled, width in ((values, 2.0), (np.sign(values) * np.log1p(np.abs(values)), 1.0)):
        here = np.sort(scaled[np.isfinite(scaled)])
        spare = max(1, round((1 - _CORE) * len(here)))
        low, high = here[spare], here[-spare - 1]
        if low == high:
            return  # nearly all are the same: any other value would be far out
        reach = width * max(high - low, abs(high) * 0.05, abs(low) * 0.05, 1e-12)
        far &= (scaled < low - reach) | (scaled > high + reach)
    if column.kind == "integer":
        negative = values < 0
        if (
            0 < negative.sum() <= max(1, _RARE * len(known))
            and np.nanmin(np.where(negative, np.nan, values)) >= 1
        ):
            far |= negative
    for row in np.flatnonzero(far):
        table.put_apart(int(row), "HB-V308", f"{name} is {cells[row][:40]}, far from all others")


def _finite(cell: str) -> float:
    value = number(cell)
    return value if value is not None and math.isfinite(value) else math.nan


def _labels(table: Table, schema: Schema) -> None:
    """Labels that hardly occur, or that are another one written differently; and blanks."""
    place = table.header.index(schema.label)
    cells = table.column(place)
    column = schema.columns[schema.label]
    counts = Counter(cells)
    spelled: dict[str, str] = {}
    for label, _ in counts.most_common():
        spelled.setdefault(_plain(label), label)
    typical = float(np.median(list(counts.values())))
    for row, cell in enumerate(cells):
        if cell.lower() in MISSING:
            if not column.required:
                table.put_apart(row, "HB-V306", "it has no label")
        elif column.values:
            continue  # told above
        elif spelled[_plain(cell)] != cell:
            other = spelled[_plain(cell)][:40]
            table.put_apart(row, "HB-V306", f"the label {cell[:40]!r} is {other!r} elsewhere")
        elif counts[cell] <= max(1, _RARE * len(cells)) and typical >= 10 * counts[cell]:
            table.put_apart(row, "HB-V306", f"the label {cell[:40]!r} hardly occurs")


def _plain(label: str) -> str:
    value = number(label)
    return repr(value) if value is not None else re.sub(r"[\W_]+", "", label).lower()
