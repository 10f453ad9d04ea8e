"""Rows of text as data sets come: CSV, TSV and lines of JSON, and which are to be set apart."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

LONGEST = 64 << 20
MOST_ROWS = 1_000_000
_SAMPLE = 200
_NAME = re.compile(r"(?i)\.(csv|tsv|tab|data)\Z")
_LINES = re.compile(r"(?i)\.(jsonl|ndjson|jsonlines)\Z")
_MARKS = (",", ";", "\t", "|")


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A row that is set apart: its line in the file, the rule and the reason.

    A sample of a dataset has its place in the split ``part`` instead.
    """

    line: int
    rule: str
    reason: str
    part: str = ""


@dataclass(kw_only=True)
class Table:
    """Cells as text, ``rows[i][column]``, with the line of each row.

    ``apart`` grows as the table is read and checked.
    """

    name: str
    header: tuple[str, ...]
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    apart: list[Apart] = field(default_factory=list)
    _turned: list[list[str]] | None = None

    def put_apart(self, row: int, rule: str, reason: str) -> None:
        """Set a row apart, by its place among the rows."""
        self.apart.append(Apart(line=self.lines[row], rule=rule, reason=reason[:200]))

    def column(self, place: int) -> list[str]:
        """One column of all rows, once they are all there."""
        if self._turned is None:
            self._turned = [list(cells) for cells in zip(*self.rows, strict=True)]
        return self._turned[place] if self._turned else []


def read_table(source: Source, name: str, case: Case) -> Table | None:
    """The table that a text is; None if it is none.

    What is no row (too many cells, too few, bytes that are no text) is set apart at once.
    """
    head = source.read(0, 1 << 16).decode("utf-8-sig", "replace")
    lines = _is_lines(head, name)
    mark = None if lines else _mark(head, name)
    if mark is None and not lines:
        return None
    if source.size > LONGEST:
        case.gap(f"a table of more than {LONGEST >> 20} MiB", name)
        return None
    raw = source.read(0, source.size)
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    table = _lines_of_json(text, name) if mark is None else _separated(text, mark, name)
    if table is not None and len(table.rows) > MOST_ROWS:
        case.gap(f"more than {MOST_ROWS:,} rows", name)
        return None
    return table


def _mark(head: str, name: str) -> str | None:
    """What separates the cells: the mark that gives nearly every line the same number of them."""
    lines = [line for line in head.splitlines() if line.strip()][:_SAMPLE]
    whole = lines if len(lines) < _SAMPLE else lines[:-1]
    named = bool(_NAME.search(name))
    best, share = None, 0.8 if named else 0.95
    for mark in _MARKS:
        try:
            counts = [len(row) for row in csv.reader(whole, delimiter=mark)]
        except csv.Error:
            continue
        width = counts[0] if counts else 0
        same = sum(one == width for one in counts) / max(1, len(counts))
        enough = len(counts) >= (2 if named else 5) and width >= (2 if named else 3)
        if enough and same >= share:
            best, share = mark, same + 1e-9
    return best


def _is_lines(head: str, name: str) -> bool:
    lines = [line for line in head.splitlines()[:20] if line.strip()]
    objects = sum(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in lines)
    return bool(lines) and (bool(_LINES.search(name)) or (len(lines) > 4 and objects == len(lines)))


def _separated(text: str, mark: str, name: str) -> Table | None:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    table: Table | None = None
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return table
        except csv.Error as error:
            if table is None:
                return None
            table.apart.append(Apart(line=reader.line_num, rule="HB-V301", reason=str(error)))
            continue
        if not row or row == [""]:
            continue
        if table is None:
            table = _headed(row, name)
            if table.header == tuple(row):
                continue
        _take(table, row, reader.line_num)


def _headed(row: list[str], name: str) -> Table:
    """A first line without any number is a header; otherwise columns go by number."""
    titled = not any(number(cell) is not None for cell in row) and len(set(row)) == len(row)
    header = row if titled else [f"column {n + 1}" for n in range(len(row))]
    return Table(name=name, header=tuple(header))


def _take(table: Table, row: list[str], line: int) -> None:
    if len(row) != len(table.header):
        reason = f"it has {len(row)} cells, not {len(table.header)}"
        table.apart.append(Apart(line=line, rule="HB-V301", reason=reason))
        return
    if any("�" in cell or "\0" in cell for cell in row):
        table.apart.append(Apart(line=line, rule="HB-V301", reason="a cell holds bytes, not text"))
        return
    table.rows.append([cell.strip() for cell in row])
    table.lines.append(line)


def _lines_of_json(text: str, name: str) -> Table | None:
    rows = list(_objects(text))
    seen = [set(tree) for _, tree in rows if isinstance(tree, dict)]
    if not seen:
        return None
    # Keys that most lines have make the columns; a line may lack the others.
    counts: dict[str, int] = {}
    for keys in seen:
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
    header = tuple(sorted(key for key, n in counts.items() if 2 * n >= len(seen)))
    table = Table(name=name, header=header)
    for line, tree in rows:
        if not isinstance(tree, dict):
            table.apart.append(Apart(line=line, rule="HB-V301", reason="it is no JSON object"))
        elif not set(tree) <= counts.keys() or any(counts[k] * 50 < len(seen) for k in tree):
            odd = sorted(k for k in tree if counts[k] * 50 < len(seen))
            reason = f"it has keys that the others lack: {', '.join(odd)[:100]}"
            table.apart.append(Apart(line=line, rule="HB-V301", reason=reason))
        else:
            table.rows.append([_cell(tree.get(key)) for key in header])
            table.lines.append(line)
    return table


def _objects(text: str) -> Iterator[tuple[int, Any]]:
    for number_, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield number_, json.loads(line)
            except (ValueError, RecursionError):
                yield number_, None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | int | str):
        return str(value).strip()
    return json.dumps(value, sort_keys=True)


@lru_cache(maxsize=1 << 16)
def number(cell: str) -> float | None:
    """The number that a cell holds; None if it holds none. ``nan`` and ``inf`` are numbers here."""
    try:
        return float(cell)
    except ValueError:
        return None
