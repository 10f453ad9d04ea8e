"""``hauberk bench``: judge a detector by the public protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.adapters.local.yardstick import Bench, Detector
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Judge a detector by the public protocol, on any model and data."""


@command.command()
@click.argument("model", type=_FILE)
@click.argument("twin", type=_FILE)
@click.option("--other", type=_FILE, help="An independent model, to transfer from.")
@click.option("--monitor", "names", multiple=True, help="A monitor; again for more.")
@click.option("--quick", is_flag=True, help="Fewer attacks, shares and runs: a few minutes.")
@click.option("--seeds", type=click.IntRange(1, 20), default=1, show_default=True)
@options.spec("data", "threat")
@options.output("table", "json")
def detection(
    *,
    model: Path,
    twin: Path,
    other: Path | None,
    names: tuple[str, ...],
    quick: bool,
    seeds: int,
    spec: Spec,
    output: Output,
) -> int:
    """False alarms on clean and benign streams, and requests to alarm under each attack.

    MODEL is what is served, TWIN its robust twin, both as weights. Sensors and thresholds are
    fitted on the validation and calibration splits, the traffic is of the test split. A monitor
    is one of ``hauberk watch``'s, ``attack`` and ``model`` unless told otherwise, or a plug-in of
    the group ``hauberk.monitor``.
    """
    from hauberk.adapters.data.source import load_dataset
    from hauberk.adapters.local.yardstick import Bench, Subject
    from hauberk.adapters.local.yardstick_table import QUICK, Effort, rows
    from hauberk.adapters.models.weights import load
    from hauberk.core.threat import ThreatModel

    data = load_dataset(spec.data.source)
    modules = [load(path.read_bytes()).module for path in (model, twin)]
    third = load(other.read_bytes()).module if other else None
    benches = [
        Bench(
            Subject(
                name=data.name,
                seed=seed,
                served=modules[0],
                twin=modules[1],
                other=third,
                learn=data.split("validation"),
                calibrate=data.split("calibration"),
                stream=data.split("test"),
                threat=ThreatModel(norm=spec.threat.norm, eps=spec.threat.eps),
            )
        )
        for seed in range(seeds)
    ]
    detectors = {name: _maker(name, spec) for name in names or ("attack", "model")}
    output.say(f"{data.name}: {len(benches)} seeds, {', '.join(detectors)}")
    found = rows(benches, detectors, QUICK if quick else Effort())
    if output.form == "json":
        output.data({"conditions": _conditions(spec, seeds, quick=quick), "rows": found})
    else:
        head = ["what", "measured", "p90 or interval", "found"]
        output.listing(head, [_cells(row) for row in found])
    return 0


def _maker(name: str, spec: Spec) -> Callable[[Bench], Callable[[], Detector]]:
    """How a detector of that name is made for a bench."""
    from hauberk.core.registry import find
    from hauberk.monitor.station import MONITORS, monitors

    if name in MONITORS:
        return lambda bench: (
            lambda: monitors(bench.calibration, alpha=spec.detect.alpha, only=(name,))[name]
        )
    kind = find("monitor", name)
    return lambda bench: lambda: _made(kind, bench)


def _made(kind: Any, bench: Bench) -> Detector:
    """A plug-in's monitor; with the calibration where it takes one."""
    try:
        made: Detector = kind(calibration=bench.calibration)
    except TypeError:
        made = kind()
    return made


def _conditions(spec: Spec, seeds: int, *, quick: bool) -> dict[str, Any]:
    return {
        "data": spec.data.source,
        "threat": f"{spec.threat.norm}:{spec.threat.eps:g}",
        "alpha": spec.detect.alpha,
        "seeds": seeds,
        "quick": quick,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    def told(value: Any) -> str:
        if isinstance(value, list):
            return " to ".join(map(told, value))
        return "-" if value is None else f"{value:.3g}"

    more = row.get("interval", row.get("p90", ""))
    return [
        row["id"],
        told(row["measured"]),
        told(more) if more != "" else "",
        told(row["found"]) if "found" in row else "",
    ]
