"""A table of data: its rows are judged one by one, and what is wrong with them is set apart."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.data_card import draft
from hauberk.vet.table import read_table
from hauberk.vet.table_duplicates import check_duplicates, check_splits
from hauberk.vet.table_rows import check_rows
from hauberk.vet.table_schema import Schema, inferred

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source
    from hauberk.vet.table import Apart, Table

_UNEVEN = 0.02  # a class that is so small beside the largest is told
_TOLD = 3


def vet_table(source: Source, case: Case, where: str) -> bool:
    """Judge the rows of a text that is a table; False if it is none."""
    table = read_table(source, where, case)
    if table is None:
        return False
    schema = case.schema or inferred(table)
    check_rows(table, schema)
    check_duplicates(table, schema)
    _balance(table, schema, case, where)
    case.card = draft(table, schema)
    case.traits.add("table")
    put_apart(table.apart, case, where)
    return True


def split_tables(sources: Sequence[tuple[Source, str, Case]], schema: Schema | None) -> None:
    """Judge tables that belong together, such as those of training and test: none repeats another.

    The first one is the one that keeps a row.
    """
    tables = [(read_table(source, name, case), case) for source, name, case in sources]
    groups: dict[tuple[str, ...], list[tuple[Table, Case]]] = {}
    for table, case in tables:
        if table is not None:
            table.apart.clear()
            groups.setdefault(table.header, []).append((table, case))
    for group in groups.values():
        if len(group) > 1:
            own = [table for table, _ in group]
            check_splits(own, schema or inferred(own[0]))
            for table, case in group:
                put_apart(table.apart, case, table.name)


def put_apart(rows: Sequence[Apart], case: Case, where: str) -> None:
    """Keep the rows that are set apart, and tell of them: one finding for each rule."""
    case.apart += rows
    for rule in sorted({one.rule for one in rows}):
        broken = [one for one in rows if one.rule == rule]
        told = "; ".join(f"line {one.line}: {one.reason}" for one in broken[:_TOLD])
        more = f"; {len(broken) - _TOLD} more" if len(broken) > _TOLD else ""
        case.find(rule, f"{told}{more}", where)


def _balance(table: Table, schema: Schema, case: Case, where: str) -> None:
    """How many rows each label has: told where they differ widely, wrong where it was ruled out."""
    if schema.label not in table.header or not table.rows:
        return
    counts = Counter(table.column(table.header.index(schema.label)))
    name, least = min(counts.items(), key=lambda pair: (pair[1], pair[0]))
    share = least / len(table.rows)
    if schema.min_share and share < schema.min_share:
        message = f"the label {name[:40]!r} has {share:.2%} of the rows"
        case.find("HB-V307", message, where, Severity.MEDIUM)
    elif least < _UNEVEN * max(counts.values()):
        message = f"the label {name[:40]!r} has {least} rows, the largest {max(counts.values())}"
        case.find("HB-V307", message, where, Severity.LOW)
