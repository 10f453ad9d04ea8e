"""Datasets for ``hauberk vet``: labelled samples, tables that belong together, quarantine."""

from __future__ import annotations

import csv
import io
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hauberk.adapters.local.disk_source import opened
from hauberk.adapters.local.files import make_folder, read_file, write_file
from hauberk.core.errors import ConfigError
from hauberk.vet.case import Case
from hauberk.vet.finding import Coverage, Vetted
from hauberk.vet.run import inspect
from hauberk.vet.table import read_table
from hauberk.vet.table_file import put_apart, split_tables
from hauberk.vet.table_schema import Schema, read_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.faces.cli.output import Output

_LARGEST = 1 << 20


def schema_in(path: Path | None) -> Schema | None:
    """The schema of a file; None where none is named.

    Raises:
        ConfigError: if it does not exist or is malformed.
    """
    if path is None:
        return None
    data = read_file(path, limit=_LARGEST)
    if data is None:
        raise ConfigError("no such file", where=str(path))
    return read_schema(data, where=str(path))


def vet_samples(source: str) -> Vetted:
    """The samples of a data source: what is odd, double, wrongly labelled or marked."""
    from hauberk.adapters.data.source import load_dataset
    from hauberk.vet.samples import SampleCheck

    data = load_dataset(source)
    splits = {
        name: (part.x, part.y)
        for name in ("train", "validation", "calibration", "test")
        for part in [data.split(name)]
        if len(part)
    }
    found = SampleCheck()(splits)
    case = Case(size=0, inspect=inspect)
    put_apart(found, case, source)
    case.card = {
        "digest": data.digest,
        "samples": {name: len(y) for name, (_, y) in splits.items()},
        "shape": list(data.shape),
        "classes": data.classes,
        "set_apart": len({(one.part, one.line) for one in found}),
    }
    return Vetted(
        path=source,
        kind="samples",
        coverage=Coverage.FULL,
        findings=tuple(case.findings),
        apart=found,
        card=case.card,
    )


def across(found: Sequence[Vetted], schema: Schema | None) -> list[Vetted]:
    """The same results, with the rows of tables that another table among them holds as well."""
    tables = [one for one in found if "table" in one.traits and "!" not in one.path]
    if len(tables) < 2:
        return list(found)
    cases = {one.path: Case(size=0, inspect=inspect) for one in tables}
    with ExitStack() as open_files:
        sources = [
            (open_files.enter_context(opened(Path(one.path))), one.path, cases[one.path])
            for one in tables
        ]
        split_tables(sources, schema)
    return [
        replace(
            one,
            findings=(*one.findings, *cases[one.path].findings),
            apart=(*one.apart, *cases[one.path].apart),
        )
        if one.path in cases
        else one
        for one in found
    ]


def write_quarantine(found: Sequence[Vetted], folder: Path, output: Output) -> None:
    """Each table without the rows that are set apart, and beside it these rows with the reasons."""
    make_folder(folder)
    for one in found:
        if one.card is None:
            continue
        name = Path(one.path).name.replace(":", "_")
        reasons = [
            {"part": row.part, "line": row.line, "rule": row.rule, "reason": row.reason}
            for row in one.apart
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in reasons)
        write_file(folder / f"{name}.apart.jsonl", lines.encode(), mode=0o644)
        if one.kind != "samples":
            write_file(folder / f"{name}.kept.csv", _kept(one).encode(), mode=0o644)
    output.say(f"wrote {folder}")


def _kept(file: Vetted) -> str:
    apart = {row.line for row in file.apart}
    with opened(Path(file.path)) as source:
        table = read_table(source, file.path, Case(size=0, inspect=inspect))
    assert table is not None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    rows = zip(table.rows, table.lines, strict=True)
    writer.writerows(row for row, line in rows if line not in apart)
    return text.getvalue()
