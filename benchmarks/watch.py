"""What watching costs, whether a replay is the same, and how soon people confirm an incident."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.table import Row, at_most, conditions, publish
from benchmarks.watch_costs import costs
from benchmarks.watch_repeats import repeats
from benchmarks.watch_replay import RECORDS, replays
from hauberk.monitor.review import Label, ReviewTest

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
        at_most("labels to confirm, 20 % errors, evidence 10 000, median", np.median(labels), 45),
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


def main() -> int:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [*costs(), *people(), *repeats(), *replays(Path(folder))]
    return publish("watch", conditions(seed=0, records=RECORDS, runs=RUNS), rows)


if __name__ == "__main__":
    sys.exit(main())
