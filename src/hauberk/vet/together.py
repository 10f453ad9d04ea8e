"""What only shows when all files are seen: open namespaces, lists left out, data of graphs."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from hauberk.core.rule import RULES
from hauberk.vet.finding import Coverage, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.vet.finding import Vetted


def together(found: Sequence[Vetted]) -> list[Vetted]:
    """The same results, with what their sum lacks as findings of the files concerned."""
    closed = {
        trait.removeprefix("policy ")
        for one in found
        for trait in one.traits
        if trait.startswith("policy ")
    }
    seen = {posixpath.normpath(one.path) for one in found}
    data = {path for one in found for path in _named(one, "data ")}
    return [_as_data(_with_left_out(_with_open(one, closed), seen), data) for one in found]


def _named(file: Vetted, mark: str) -> list[str]:
    """The files that a file names, as paths like its own."""
    folder = posixpath.dirname(file.path)
    names = [one.removeprefix(mark) for one in file.traits if one.startswith(mark)]
    return [posixpath.normpath(posixpath.join(folder, one)) for one in names]


def _as_data(file: Vetted, data: set[str]) -> Vetted:
    """Bytes of no format that an ONNX graph beside them reads as numbers are just that."""
    if file.kind != "unknown" or posixpath.normpath(file.path) not in data:
        return file
    kept = tuple(one for one in file.findings if one.rule != "HB-V017")
    return replace(file, kind="tensor data", findings=kept, coverage=Coverage.FULL)


def _with_left_out(file: Vetted, seen: set[str]) -> Vetted:
    """A list of packages may take in another one, which has to be vetted as well."""
    missing = [one for one in _named(file, "includes ") if one not in seen]
    added = tuple(
        Finding(
            rule="HB-V003",
            severity=RULES["HB-V003"].severity,
            message=f"it takes in {one[:100]}, which was not vetted with it",
            where=file.path,
        )
        for one in sorted(missing)
    )
    if not added:
        return file
    return replace(file, findings=(*file.findings, *added), coverage=Coverage.PARTIAL)


def _with_open(file: Vetted, closed: set[str]) -> Vetted:
    used = {one.removeprefix("workload ") for one in file.traits if one.startswith("workload ")}
    added = tuple(
        Finding(
            rule="HB-V105",
            severity=RULES["HB-V105"].severity,
            message=f"namespace {name[:80]} has workloads and no network policy",
            where=file.path,
        )
        for name in sorted(used - closed)
    )
    return replace(file, findings=(*file.findings, *added)) if added else file
