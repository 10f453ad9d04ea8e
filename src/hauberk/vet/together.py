"""What only shows when all files are seen: workloads whose namespace has no network policy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hauberk.core.rule import RULES
from hauberk.vet.finding import Finding

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
    return [_with_open(one, closed) for one in found]


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
