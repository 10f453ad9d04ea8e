"""``hauberk evaluate``: measure a model against its threat model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--attacks",
    default="fgsm,pgd,square",
    show_default=True,
    metavar="NAME,…",
    help="The attacks; the worst case over them is the figure. `auto` is the standard ensemble, "
    "`best` ours.",
)
@click.option(
    "--budget",
    metavar="TIME",
    callback=lambda _ctx, _param, text: _seconds(text),
    help="Stop before this time is over, such as 90s, 5m or 1h, and say what was left out.",
)
@click.option(
    "--width",
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Stop where robust accuracy is known to plus or minus this much.",
)
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True)
@options.spec("data", "threat", "seed", "gate.robust_accuracy", "gate.clean_accuracy")
@options.output()
def command(
    *,
    model: Path,
    attacks: str,
    budget: float | None,
    width: float | None,
    samples: int,
    spec: Spec,
    output: Output,
) -> int:
    """Attack the file MODEL on held-out data, at several radii, and say how sure the figure is.

    Exit code 1 where a limit of the gate is missed, or the figure is not to be believed.
    """
    import numpy as np

    from hauberk.adapters.data.source import load_dataset
    from hauberk.adapters.models.load import load
    from hauberk.core.digest import digest_file
    from hauberk.core.registry import find
    from hauberk.core.threat import ThreatModel
    from hauberk.evaluate.masking import masking
    from hauberk.evaluate.run import Run
    from hauberk.evaluate.sequential import Stop, evaluate_until

    found = load(model)
    methods = {name: find("attack", name)() for name in attacks.split(",")}
    # In one shard unless something may stop it.
    bounded = budget is not None or width is not None
    stop = Stop(budget=budget, width=width, shard=100 if bounded else samples)
    data = load_dataset(spec.data.source).split("test")
    if len(data) > samples or bounded:
        # In a drawn order, so that the first shards stand for all of them.
        chosen = np.random.default_rng(spec.harden.seed).permutation(len(data))[:samples]
        data = data.take(chosen if bounded else np.sort(chosen))
    threat = ThreatModel(norm=spec.threat.norm, eps=spec.threat.eps)
    with output.progress("attacked samples") as advance:
        result, left_out = evaluate_until(
            found,
            data,
            threat,
            attacks=methods,
            stop=stop,
            eps=[factor * threat.eps for factor in spec.gate.eps_factors],
            seed=spec.harden.seed,
            run=Run(progress=advance, clock=time.perf_counter),
        )
    subject = digest_file(model)
    evidence = result.evidence(
        subject,
        clean_accuracy=spec.gate.clean_accuracy,
        robust_accuracy=spec.gate.robust_accuracy,
    )
    heading = f"{model}  {subject[:19]}…  {data.name}, n = {result.n}  threat {threat}"
    if left_out:
        heading += f"  {left_out} samples left out"
    return output.evidence((*evidence, masking(result, subject)), heading=heading)


def _seconds(text: str | None) -> float | None:
    """A time as ``90``, ``90s``, ``5m`` or ``1h``, in seconds."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise click.BadParameter(f"not a time: {text!r}; write it as 90s, 5m or 1h")
    return seconds
