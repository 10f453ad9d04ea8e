"""The draft of a data card: what a table shows of itself; what only its owner knows stays blank."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from typing import TYPE_CHECKING, Any

from hauberk.vet.table import number
from hauberk.vet.table_schema import MISSING

if TYPE_CHECKING:
    from hauberk.vet.table import Table
    from hauberk.vet.table_schema import Schema

STATED = ("owner", "licence", "source", "collected", "purpose", "consent", "known_gaps")
_MOST_VALUES = 20


def draft(table: Table, schema: Schema) -> dict[str, Any]:
    """The card as JSON values, the same for the same table."""
    card: dict[str, Any] = {
        "rows": len(table.rows),
        "set_apart": len({one.line for one in table.apart}),
        "columns": {
            name: _column(table.column(place), schema.columns[name].kind)
            for place, name in enumerate(table.header)
            if name in schema.columns
        },
        "stated": dict.fromkeys(STATED, ""),
    }
    if schema.label in table.header:
        counts = Counter(table.column(table.header.index(schema.label)))
        card["label"] = {
            "column": schema.label,
            "classes": len(counts),
            "rows": dict(sorted(counts.most_common(_MOST_VALUES))),
        }
    return card


def _column(cells: list[str], kind: str) -> dict[str, Any]:
    filled = [cell for cell in cells if cell.lower() not in MISSING]
    told: dict[str, Any] = {
        "kind": kind,
        "missing": len(cells) - len(filled),
        "distinct": len(set(filled)),
    }
    numbers = [one for one in map(number, filled) if one is not None and isfinite(one)]
    if kind in {"integer", "number"} and numbers:
        told["min"], told["max"] = min(numbers), max(numbers)
        told["mean"] = round(sum(numbers) / len(numbers), 6)
    elif kind in {"category", "boolean"}:
        told["values"] = dict(sorted(Counter(filled).most_common(_MOST_VALUES)))
    return told
