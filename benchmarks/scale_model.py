"""A thousand services as a fluid: arrivals, the operators' backlog, when an attack is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.scale_costs import Costs

STEP = 0.1
"""Seconds of a step."""
KEPT_BYTES = 64 * 4 * 2**20
"""What a service's log of records holds before the oldest are dropped."""
PAUSE = 1.0


@dataclass(frozen=True, kw_only=True)
class World:
    """What is simulated: load, how it is spread, how much stands ready, how many are attacked.

    The attack ``begins`` so many seconds after the operators did, of ``seconds`` in all.
    """

    models: int = 1000
    rate: float = 1e5
    operators: int = 1
    attacked: float = 0.01
    share: float = 1.0
    begins: float = 60.0
    seconds: float = 180.0
    skew: float = 1.0
    seed: int = 0
    requests_to_alarm: float = 11.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``busy``: how much of an operator's core is asked for, on average and at the fullest one.

    ``delay``: seconds from the first hostile request to containment, of those found; ``found``:
    the share of attacked services contained within the time. ``lost``: records dropped unread.
    """

    busy: float
    fullest: float
    delay_p50: float
    delay_p99: float
    found: float
    lost: float


def rates(world: World) -> NDArray[np.float64]:
    """Requests a second of each service ``(models,)``: the k-th most popular has 1/k^skew."""
    weights = 1.0 / np.arange(1, world.models + 1) ** world.skew
    return np.asarray(world.rate * weights / weights.sum())


def simulate(world: World, costs: Costs) -> Outcome:
    """Steps of time: each operator's core does rounds, then containments, then folds in turn.

    Services are dealt to operators at random. An attacked one gets hostile requests from
    ``begins`` on; it is noticed once the operator has folded enough of them, so that a backlog
    delays it.
    """
    rng = np.random.default_rng(world.seed)
    load = rates(world)
    owner = rng.integers(world.operators, size=world.models)
    attacked = np.zeros(world.models, bool)
    chosen = max(1, round(world.attacked * world.models))
    attacked[rng.choice(world.models, size=chosen, replace=False)] = True
    per_record = costs.gather + costs.fold
    wanted = np.bincount(owner, load * per_record, minlength=world.operators)
    wanted = wanted + np.bincount(owner, minlength=world.operators) * costs.round / PAUSE
    steps = round(world.seconds / STEP)
    arrived, folded, lost = (np.zeros(world.models) for _ in range(3))
    kept = KEPT_BYTES / costs.record_bytes
    # The record by which the attack shows, counted from the service's first.
    hostile = world.requests_to_alarm / world.share
    shows = np.where(attacked, load * world.begins + hostile, np.inf)
    owed = np.zeros(world.operators)  # containments noticed and not yet paid for
    noticed = np.full(world.models, np.inf)
    contained = np.full(world.models, np.inf)
    idle = np.bincount(owner, minlength=world.operators) * costs.round / PAUSE * STEP
    for step in range(steps):
        now = (step + 1) * STEP
        arrived += load * STEP
        spare = np.maximum(0.0, STEP - idle)
        paid = np.minimum(spare, owed)
        owed, spare = owed - paid, spare - paid
        backlog = arrived - folded
        need = np.bincount(owner, backlog * per_record, minlength=world.operators)
        part = np.minimum(1.0, np.divide(spare, need, out=np.ones_like(need), where=need > 0))
        folded += backlog * part[owner]
        dropped = np.maximum(0.0, arrived - folded - kept)
        lost += dropped
        folded += dropped
        fresh = (folded >= shows) & np.isinf(noticed)
        noticed[fresh] = now
        owed += np.bincount(owner[fresh], minlength=world.operators) * costs.alarm
        # A round comes each second, and the noticed wait behind those that are owed already.
        wait = PAUSE / 2 + owed[owner] + costs.alarm_wall
        contained[fresh] = now + wait[fresh]
    delays = (contained - world.begins)[attacked]
    seen = delays[delays < world.seconds - world.begins]
    return Outcome(
        busy=float(wanted.mean()),
        fullest=float(wanted.max()),
        delay_p50=float(np.median(seen)) if seen.size else float("inf"),
        delay_p99=float(np.quantile(seen, 0.99)) if seen.size else float("inf"),
        found=float(seen.size / attacked.sum()),
        lost=float(lost.sum() / max(1.0, arrived.sum())),
    )
