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


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--attacks",
    default="fgsm,pgd,square",
    show_default=True,
    metavar="NAME,…",
    help="The attacks; the worst case over them is the figure.",
)
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True)
@options.spec("data", "threat", "seed", "gate.robust_accuracy", "gate.clean_accuracy")
@options.output()
def command(*, model: Path, attacks: str, samples: int, spec: Spec, output: Output) -> int:
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
    from hauberk.evaluate.robustness import evaluate
    from hauberk.evaluate.run import Run

    found = load(model)
    methods = {name: find("attack", name)() for name in attacks.split(",")}
    data = load_dataset(spec.data.source).split("test")
    if len(data) > samples:
        chosen = np.random.default_rng(spec.harden.seed).permutation(len(data))[:samples]
        data = data.take(np.sort(chosen))
    threat = ThreatModel(norm=spec.threat.norm, eps=spec.threat.eps)
    with output.progress("attacked samples") as advance:
        result = evaluate(
            found,
            data,
            threat,
            attacks=methods,
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
    heading = f"{model}  {subject[:19]}…  {data.name}, n = {len(data)}  threat {threat}"
    return output.evidence((*evidence, masking(result, subject)), heading=heading)
