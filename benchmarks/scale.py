"""A thousand models and a hundred thousand requests a second: where it breaks first."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace

from benchmarks.scale_costs import measure
from benchmarks.scale_model import KEPT_BYTES, World, rates, simulate
from benchmarks.table import Row, conditions, publish

RATES = (1e3, 1e4, 3e4, 1e5)
SHARDS = (1, 4, 16)


def main() -> int:
    costs = measure()
    rows = [Row(id=f"cost: {name}", measured=value) for name, value in asdict(costs).items()]
    world = World()
    per_record = costs.gather + costs.fold
    spare = 1 - world.models * costs.round
    rows += [
        Row(id="gateway cores at 1e5 requests/s", measured=1e5 * costs.request),
        Row(id="records a second that one operator folds", measured=spare / per_record),
        Row(id="volume, MB/s written at 1e5 requests/s", measured=2e5 * costs.record_bytes / 1e6),
        Row(
            id="seconds of records kept, busiest model at 1e5",
            measured=KEPT_BYTES / costs.record_bytes / float(rates(world)[0]),
        ),
        Row(
            id="quota decisions a second that one Redis takes",
            measured=None if costs.quota is None else 1 / costs.quota,
        ),
        Row(
            id="Redis cores at 1e5 requests/s",
            measured=None if costs.quota is None else 1e5 * costs.quota,
        ),
        Row(
            id="records a second that one Redis takes",
            measured=None if costs.streamed is None else 1 / costs.streamed,
        ),
        Row(id="models that fill one operator with idle rounds", measured=1 / costs.round),
    ]
    for rate in RATES:
        for shards in SHARDS:
            name = f"{rate:.0e} requests/s, {shards} operators: "
            done = simulate(replace(world, rate=rate, operators=shards), costs)
            rows += [
                Row(id=name + "fullest core", measured=done.fullest),
                Row(id=name + "containment p50 s", measured=done.delay_p50),
                Row(id=name + "containment p99 s", measured=done.delay_p99),
                Row(id=name + "attacks contained in 2 min", measured=done.found),
                Row(id=name + "records lost", measured=done.lost),
            ]
    for share in (0.01, 0.1, 1.0):
        storm = replace(world, rate=1e4, operators=1, attacked=share, seconds=660.0)
        done = simulate(storm, costs)
        name = f"{share:.0%} of the models attacked at once, 1e4 requests/s: "
        rows.append(Row(id=name + "p50 s", measured=done.delay_p50))
        rows.append(Row(id=name + "p99 s", measured=done.delay_p99))
    return publish("scale", conditions(models=world.models, skew=world.skew, seed=world.seed), rows)


if __name__ == "__main__":
    sys.exit(main())
