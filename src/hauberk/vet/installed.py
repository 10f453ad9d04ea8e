"""Packages that are installed: what they are, and whether their files are still what was put there.

Source: the core metadata specification, and ``RECORD`` as in PEP 376 and PEP 427.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.dependency import Wanted, judge_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.vet.case import Case

_FIELD = re.compile(r"^(Name|Version): *(\S+)\s*$", re.MULTILINE)
_MOST_ROWS = 200_000
_STARTS = re.compile(r"^import[ \t]", re.MULTILINE)


def vet_metadata(text: str, case: Case, where: str) -> None:
    """Judge the one package that the text is about."""
    head = text.partition("\n\n")[0]
    found = dict(_FIELD.findall(head))
    if "Name" not in found or "Version" not in found:
        case.gap("it does not say which package it is", where)
        return
    one = Wanted(name=found["Name"], version=found["Version"], where=where, installed=True)
    judge_all([one], case, where)


def vet_record(text: str, digest: Callable[[str], str | None], case: Case, where: str) -> None:
    """Hold each file against the record of what was installed.

    ``digest`` gives the SHA-256 of a file by its path, as the record writes it (base64 without
    padding); None if there is no such file.
    """
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        case.gap(f"the record cannot be read: {error}", where)
        return
    if len(rows) > _MOST_ROWS:
        case.gap(f"a record of more than {_MOST_ROWS:,} files", where)
        rows = rows[:_MOST_ROWS]
    for row in rows:
        if len(row) < 2 or not row[1]:
            continue
        kind, _, expected = row[1].partition("=")
        if kind != "sha256":
            case.gap(f"a digest that is not read here: {kind[:20]}", where)
            continue
        actual = digest(row[0])
        if actual is None:
            case.find("HB-V207", f"{row[0][:120]} is missing", where, Severity.LOW)
        elif actual != expected:
            case.find("HB-V207", f"{row[0][:120]} is not what was installed", where)


def vet_path_file(text: str, case: Case, where: str) -> None:
    """A ``.pth``: its lines that begin with ``import`` run whenever Python starts."""
    if _STARTS.search(text):
        case.find("HB-V207", "it runs code whenever Python starts", where, Severity.MEDIUM)
