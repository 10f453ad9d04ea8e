"""What the columns of a table should hold: declared in TOML, or as most of the rows have it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from hauberk.core.errors import ConfigError
from hauberk.vet.table import number

if TYPE_CHECKING:
    from hauberk.vet.table import Table

Kind = Literal["integer", "number", "boolean", "date", "category", "text"]
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
_USUAL = 0.9  # what share of the cells makes a kind
_FILLED = 0.95  # a column that is filled so far should be filled everywhere
_CATEGORIES = 50
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?\Z")
_BOOLEANS = frozenset({"true", "false", "yes", "no", "0", "1", "t", "f"})
_LABELS = re.compile(r"(?i)(label|target|class|y|outcome|species|category)s?\Z")


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column. Without limits any value of its kind will do."""

    kind: Kind = "text"
    required: bool = False
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] = ()
    pattern: str = ""
    unique: bool = False


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All columns by name; ``label`` is the one to be learnt.

    ``duplicates`` sets apart all but the first of equal rows; ``outliers`` those far from others.

    Raises:
        ConfigError: if the label is no column, or a pattern cannot be read.
    """

    columns: dict[str, Column]
    label: str = ""
    duplicates: bool = True
    outliers: bool = True
    min_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    declared: bool = True

    def __post_init__(self) -> None:
        if self.label and self.label not in self.columns:
            raise ConfigError(f"the label {self.label!r} is no column", where="schema")
        for name, one in self.columns.items():
            try:
                re.compile(one.pattern)
            except re.error as error:
                raise ConfigError(f"pattern: {error}", where=f"schema: {name}") from None


def read_schema(data: bytes, *, where: str) -> Schema:
    """The schema that a TOML text declares.

    Raises:
        ConfigError: if it is malformed.
    """
    try:
        tree = tomllib.loads(data.decode("utf-8"))
        return msgspec.convert(tree, Schema, strict=True)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"no schema: {error}", where=where) from None


def inferred(table: Table, label: str = "") -> Schema:
    """The schema that nine rows in ten follow; ranges are left open."""
    columns = {name: _column(table.column(n)) for n, name in enumerate(table.header)}
    return Schema(columns=columns, label=label or _label(table, columns), declared=False)


def _column(cells: list[str]) -> Column:
    filled = [cell for cell in cells if cell.lower() not in MISSING]
    required = bool(cells) and len(filled) >= _FILLED * len(cells)
    numbers = [one for one in map(number, filled) if one is not None]
    if filled and len(numbers) >= _USUAL * len(filled):
        whole = sum(one.is_integer() for one in numbers)
        kind: Kind = "integer" if whole >= 0.98 * len(numbers) else "number"
        return Column(kind=kind, required=required)
    if _mostly(filled, _DATE.match):
        return Column(kind="date", required=required)
    lowered = {cell.lower() for cell in filled}
    if _mostly(filled, lambda cell: cell.lower() in _BOOLEANS) and len(lowered) <= 4:
        return Column(kind="boolean", required=required)
    distinct = set(filled)
    if len(distinct) <= _CATEGORIES and len(distinct) * 5 <= len(filled):
        return Column(kind="category", required=required)
    return Column(kind="text", required=required)


def _mostly(cells: list[str], test: object) -> bool:
    assert callable(test)
    return bool(cells) and sum(bool(test(cell)) for cell in cells) >= _USUAL * len(cells)


def _label(table: Table, columns: dict[str, Column]) -> str:
    """A column that is called so; few values, and not a number with a fraction."""
    for name in reversed(table.header):
        if _LABELS.match(name) and columns[name].kind in {"category", "integer", "boolean"}:
            return name
    return ""
