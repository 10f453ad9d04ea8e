"""What attacks without gradients reach with how many queries a sample."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hauberk.core.model import Access
from hauberk.evaluate.result import rate
from hauberk.evaluate.robustness import evaluate
from hauberk.evaluate.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.samples import Samples
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

BUDGETS = (10, 30, 100, 300, 1000)


def query_curves(
    model: Model,
    data: Dataset | Samples,
    threat: ThreatModel,
    *,
    attacks: Mapping[str, Attack],
    budgets: Sequence[int] = BUDGETS,
    seed: int = 0,
    samples: int = 64,
    task: Task | None = None,
) -> dict[str, list[tuple[int, float, float, float]]]:
    """For each attack without gradients ``(queries, share right, low, high)`` at each budget.

    On the first ``samples``. An attack plans its steps by its budget, so each budget is a run of
    its own; what fell with fewer queries counts as fallen with more. A budget that is too small
    for an attack is left out.
    """
    found: dict[str, list[tuple[int, float, float, float]]] = {}
    run = Run(rows=(0, min(samples, len(data))))
    for name, attack in attacks.items():
        if attack.needs == Access.GRADIENTS:
            continue
        standing = None
        for budget in sorted(budgets):
            bounded = replace(threat, queries=budget)
            result = evaluate(
                model, data, bounded, attacks={name: attack}, task=task, seed=seed, run=run
            )
            now = result.worst(threat.eps)
            standing = now if standing is None else standing & now
            share, (low, high) = rate(standing)
            found.setdefault(name, []).append((budget, share, low, high))
    return found
