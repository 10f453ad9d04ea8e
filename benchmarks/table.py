"""The one form of every benchmark: conditions and rows, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: ``ratio`` is measured over peer; ``holds`` is None where there is no target."""

    id: str
    measured: float | None
    peer: float | None = None
    ratio: float | None = None
    target: str = ""
    holds: bool | None = None


def at_least(name: str, measured: float | None, target: float) -> Row:
    """A figure that must reach a target."""
    holds = measured is not None and measured >= target
    return Row(id=name, measured=measured, target=f">= {target:g}", holds=holds)


def at_most(name: str, measured: float | None, target: float) -> Row:
    """A figure that must not exceed a target."""
    holds = measured is not None and measured <= target
    return Row(id=name, measured=measured, target=f"<= {target:g}", holds=holds)


def conditions(**more: Any) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        **more,
    }


def publish(name: str, facts: dict[str, Any], rows: list[Row], *, keep: str = "") -> int:
    """Print the table and write ``benchmarks/results/NAME.json``; 1 if a target is missed.

    With ``keep``, what these rows measure takes the place of the file's rows of the same part, the
    text before that separator in their id; the file's other parts stay. What the facts say under
    ``parts`` is laid over what the file says there.
    """
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    if keep and file.exists():
        old = json.loads(file.read_text())
        mine = {row.id.partition(keep)[0] for row in rows}
        others = [Row(**one) for one in old["rows"] if one["id"].partition(keep)[0] not in mine]
        rows = sorted([*others, *rows], key=lambda row: row.id.partition(keep)[0])
        facts["parts"] = {**old["conditions"].get("parts", {}), **facts.get("parts", {})}
    text = json.dumps({"conditions": facts, "rows": [asdict(row) for row in rows]}, indent=1)
    file.write_text(text + "\n")
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    for row in rows:
        held = {True: "holds", False: "MISSED", None: ""}[row.holds]
        cells = [_number(row.measured), _number(row.peer), _number(row.ratio), row.target, held]
        print(f"{row.id:<44}" + "".join(f"{cell:>12}" for cell in cells))
    return int(any(row.holds is False for row in rows))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
