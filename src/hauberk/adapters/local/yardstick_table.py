"""The yardstick's table: a detector's delays and false alarms as rows of figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from scipy.special import gammaincinv

from hauberk.adapters.local.yardstick import Bench, Mix, delay, false_alarms, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hauberk.adapters.local.yardstick import Detector
    from hauberk.core.record import Record

    Make = Callable[[Bench], Callable[[], Detector]]

MIXES: Mapping[str, Mix] = {
    "100 %": Mix(1.0),
    "30 %": Mix(0.3),
    "10 %": Mix(0.1),
    "5 %": Mix(0.05),
    "1 %": Mix(0.01),
    "diluted 1:4": Mix(0.2),
    "ten sybils": Mix(1.0, sybils=10),
}
PER = 10_000
"""False alarms are told per this many requests."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured: ``runs`` streams a cell, at most ``longest`` requests each."""

    runs: int = 7
    longest: int = 4000
    requests: int = 10_000
    mixes: tuple[str, ...] = tuple(MIXES)
    quick: bool = False


QUICK = Effort(
    runs=3, longest=1000, requests=2000, mixes=("100 %", "30 %", "ten sybils"), quick=True
)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What one bench counted: plain values, so that they can be kept and pooled with others'.

    ``right`` is the served model's accuracy by kind of traffic. ``false`` counts alarms by detector
    and stream, ``delays`` holds requests to the alarm by detector, attack and mix.
    """

    right: dict[str, float]
    false: list[tuple[str, str, int]]
    delays: list[tuple[str, str, str, list[int | None]]]


def tally(bench: Bench, detectors: Mapping[str, Make], effort: Effort) -> Tally:
    """Run the protocol on one bench."""
    rng = np.random.default_rng(bench.subject.seed + 10)
    made = {name: make(bench) for name, make in detectors.items()}
    streams = {"clean": [[record] for record in bench.clean]}
    benign = list(bench.benign().items())
    streams |= dict(benign[::5] if effort.quick else benign)
    false = [
        (name, stream, false_alarms(make, runs, effort.requests, rng=rng))
        for stream, runs in streams.items()
        for name, make in made.items()
    ]
    delays = []
    for attack, points in bench.attacks(quick=effort.quick).items():
        if not len(points):
            continue
        hostile = bench.judged(points)
        for mix in effort.mixes:
            for name, make in made.items():
                found = _delays(make, bench.clean, hostile, MIXES[mix], effort, rng)
                delays.append((name, attack, mix, found))
    return Tally(right=dict(bench.accuracy), false=false, delays=delays)


def rows(
    benches: Iterable[Bench], detectors: Mapping[str, Make], effort: Effort
) -> list[dict[str, Any]]:
    """Rows in the form of the benchmarks; the benches differ in their seeds."""
    return pooled([tally(bench, detectors, effort) for bench in benches], effort)


def pooled(tallies: Iterable[Tally], effort: Effort) -> list[dict[str, Any]]:
    """Rows of all tallies together: id, measured, and what else is known of the figure."""
    false: dict[tuple[str, str], list[int]] = {}
    delays: dict[tuple[str, str, str], list[int | None]] = {}
    right: dict[str, list[float]] = {}
    for one in tallies:
        for name, stream, count in one.false:
            false.setdefault((name, stream), []).append(count)
        for name, attack, mix, found in one.delays:
            delays.setdefault((name, attack, mix), []).extend(found)
        for kind, share in one.right.items():
            right.setdefault(kind, []).append(share)
    return [
        *(_accuracy(name, values) for name, values in right.items()),
        *(_false(*key, counts, effort) for key, counts in false.items()),
        *(_run_length(*key, counts, effort) for key, counts in false.items()),
        *(_delay(*key, waits) for key, waits in delays.items()),
    ]


def _delays(
    make: Callable[[], Detector],
    clean: list[Record],
    hostile: list[Record],
    mix: Mix,
    effort: Effort,
    rng: np.random.Generator,
) -> list[int | None]:
    runs = effort.runs if mix.share >= 0.1 else max(2, effort.runs // 2)
    return [delay(make, clean, hostile, mix, longest=effort.longest, rng=rng) for _ in range(runs)]


def _accuracy(name: str, values: list[float]) -> dict[str, Any]:
    return {"id": f"accuracy of the served model: {name}", "measured": float(np.mean(values))}


def _false(name: str, stream: str, found: list[int], effort: Effort) -> dict[str, Any]:
    """Alarms per 10 000 requests with the exact Poisson interval of the total."""
    total, seen = sum(found), effort.requests * len(found)
    low, high = _poisson(total)
    return {
        "id": f"{name}: false alarms in {PER} requests, {stream}",
        "measured": total / seen * PER,
        "interval": [low / seen * PER, high / seen * PER],
        "n": seen,
    }


def _run_length(name: str, stream: str, found: list[int], effort: Effort) -> dict[str, Any]:
    """Requests to a false alarm, as measured; None, and the interval open above, without any."""
    total, seen = sum(found), effort.requests * len(found)
    low, high = _poisson(total)
    return {
        "id": f"{name}: requests to a false alarm, {stream}",
        "measured": seen / total if total else None,
        "interval": [seen / high, seen / low if total else None],
        "n": seen,
    }


def _delay(name: str, attack: str, mix: str, found: list[int | None]) -> dict[str, Any]:
    facts = summary(found)
    return {
        "id": f"{name}: requests to alarm, {attack}, {mix}",
        "measured": facts["median"],
        "p90": facts["p90"],
        "found": facts["found"],
        "n": len(found),
    }


def _poisson(count: int) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson mean from one count (Garwood 1936)."""
    low = float(gammaincinv(count, 0.025)) if count else 0.0
    return low, float(gammaincinv(count + 1, 0.975))
