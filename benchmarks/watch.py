"""What watching costs, whether a replay is the same, and how soon people confirm an incident.

``python -m benchmarks.watch costs,people`` measures some parts, the others' rows are kept.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.table import RESULTS, Row, at_most, conditions, publish
from benchmarks.watch_alike import told
from benchmarks.watch_costs import costs
from benchmarks.watch_repeats import repeats
from benchmarks.watch_replay import RECORDS, replays
from hauberk.monitor.review import Label, ReviewTest

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = 10
RUNS = 1000


def people() -> list[Row]:
    """Labels to a verdict with errors in a fifth of the answers; and liars in false incidents."""
    rng = np.random.default_rng(0)
    taken = [_reviewed(0.2, lies=0.0, rng=rng, second=False) for _ in range(RUNS)]
    labels = [count for outcome, count in taken if outcome == "confirmed"]
    false = [_reviewed(0.02, lies=0.2, rng=rng, second=True, most=120)[0] for _ in range(RUNS)]
    alone = [_reviewed(0.02, lies=0.2, rng=rng, second=False, most=120)[0] for _ in range(RUNS)]
    label = "of 1000 false incidents, a reviewer who lies a fifth of the time confirms"
    return [
        at_most(
            "labels to confirm, 20 % errors, evidence 10 000, median", float(np.median(labels)), 45
        ),
        Row(id="the same, 90th percentile", measured=float(np.quantile(labels, 0.9))),
        Row(id="the same, share confirmed", measured=len(labels) / RUNS),
        at_most(f"{label}, beside an honest one", false.count("confirmed"), 0),
        Row(id=f"{label}, alone", measured=float(alone.count("confirmed"))),
    ]


def _reviewed(
    errors: float, *, lies: float, rng: np.random.Generator, second: bool, most: int = 500
) -> tuple[str, int]:
    """Outcome and labels: the first reviewer lies at times, the second, where one is, never."""
    test = ReviewTest(second=second)
    for case in range(most):
        truth = int(rng.integers(1, CLASSES)) if rng.random() < errors else 0
        said = int(rng.integers(1, CLASSES)) if rng.random() < lies else truth
        for who, label in (("first", said), ("second", truth))[: 1 + second]:
            given = Label(case=str(case), reviewer=who, label=label, served=0, stratum="random")
            if test.take(given):
                break
        if test.outcome() != "open":
            break
    return test.outcome(), test.labels


PARTS: dict[str, Callable[[Path], list[Row]]] = {
    "costs": lambda _: costs(),
    "people": lambda _: people(),
    "repeats": lambda _: repeats(),
    "alike": lambda _: told(),
    "replay": replays,
}


def main() -> int:
    torch.set_num_threads(1)
    wanted = sys.argv[1].split(",") if len(sys.argv) > 1 else list(PARTS)
    path, rows = RESULTS / "watch.json", []
    if path.exists():
        old = [Row(**row) for row in json.loads(path.read_text())["rows"]]
        rows = [row for row in old if row.id.split(":")[0] not in wanted]
    with tempfile.TemporaryDirectory() as folder:
        for part in wanted:
            found = PARTS[part](Path(folder))
            rows += [dataclasses.replace(row, id=f"{part}: {row.id}") for row in found]
    return publish("watch", conditions(seed=0, records=RECORDS, runs=RUNS), rows)


if __name__ == "__main__":
    sys.exit(main())
