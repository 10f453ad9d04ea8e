"""Rows that are there twice, in one table or in two that are meant to be apart."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

from hauberk.vet.table import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.vet.table import Table
    from hauberk.vet.table_schema import Schema

_DIGITS = 4  # numbers that agree so far are the same
_FEWEST = 5
_NEARLY = 0.9
_CHANCE = 0.01  # how many equal pairs chance alone may make, of all rows, before none is counted


def check_duplicates(table: Table, schema: Schema) -> None:
    """Set apart all but the first of rows that say the same; and rows that contradict each other.

    Columns that number the rows do not count. Where the columns have so few values that equal rows
    are to be expected, none is set apart.
    """
    columns = _telling(table)
    if not schema.duplicates or not columns or _expected(table, columns):
        return
    label = table.header.index(schema.label) if schema.label in table.header else -1
    inputs = [one for one in columns if one != label]
    first: dict[bytes, int] = {}
    for row, cells in enumerate(table.rows):
        key = _key([cells[n] for n in inputs])
        known = first.setdefault(key, row)
        if known == row:
            continue
        if label < 0 or cells[label] == table.rows[known][label]:
            table.put_apart(row, "HB-V305", f"it says what line {table.lines[known]} says")
        else:
            told = f"it contradicts line {table.lines[known]}: the same inputs, another label"
            table.put_apart(row, "HB-V306", told)
            other = f"it contradicts line {table.lines[row]}: the same inputs, another label"
            table.put_apart(known, "HB-V306", other)


def check_splits(tables: Sequence[Table], schema: Schema) -> None:
    """Set apart the rows of later tables that an earlier one has too, or nearly has."""
    seen: dict[bytes, str] = {}
    if not tables or any(_expected(one, _telling(one)) for one in tables):
        return
    telling = set.intersection(*(set(_telling(one)) for one in tables))
    for table in tables:
        label = table.header.index(schema.label) if schema.label in table.header else -1
        columns = sorted(telling - {label})
        own: dict[bytes, str] = {}
        for row, cells in enumerate(table.rows):
            key = _key([cells[n] for n in columns])
            if key in seen:
                table.put_apart(row, "HB-V305", f"{seen[key]} holds it too")
            own.setdefault(key, f"{table.name}:{table.lines[row]}")
        seen = {**own, **seen}


def _telling(table: Table) -> list[int]:
    """The columns that do not merely number the rows."""
    found = []
    for place in range(len(table.header)):
        cells = table.column(place)
        distinct = len(set(cells))
        numbering = distinct >= _NEARLY * len(cells) and _counts_up(cells)
        if distinct > 1 and not numbering:
            found.append(place)
    return found


def _counts_up(cells: list[str]) -> bool:
    """Whether a column is an index: whole numbers that rise, or names with such a number."""
    if any(re.search(r"\d[.,]\d", cell) for cell in cells[:100]):
        return False
    digits = [re.sub(r"\D", "", cell) for cell in cells]
    values = [int(one[-18:]) if one else -1 for one in digits]
    rising = sum(a < b for a, b in pairwise(values))
    return rising >= _NEARLY * (len(values) - 1)


def _expected(table: Table, columns: list[int]) -> bool:
    """Whether chance makes equal rows: by the share of equal pairs in each column, multiplied."""
    rows = len(table.rows)
    if rows < _FEWEST:
        return True
    pairs = rows * (rows - 1) / 2
    for place in columns:
        counts: dict[str, int] = {}
        for cell in map(_rounded, table.column(place)):
            counts[cell] = counts.get(cell, 0) + 1
        pairs *= sum((n / rows) ** 2 for n in counts.values())
    return pairs > _CHANCE * rows


def _key(cells: list[str]) -> bytes:
    return blake2b("\x1f".join(map(_rounded, cells)).encode(), digest_size=16).digest()


@lru_cache(maxsize=1 << 16)
def _rounded(cell: str) -> str:
    """Numbers to four digits, texts without case and marks: what nearly is the same is the same."""
    value = number(cell)
    if value is not None:
        return f"{value:.{_DIGITS}g}"
    return " ".join(re.findall(r"\w+", cell.lower())) or cell
