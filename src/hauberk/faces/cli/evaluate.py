"""``hauberk evaluate``: measure a model against its threat model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options
from hauberk.faces.cli.duration import seconds

if TYPE_CHECKING:
    from hauberk.core.evidence import Evidence
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output

_SHARD = 128  # what is done again, at most, after a kill
_BOUNDED = 100


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
    callback=lambda _ctx, _param, text: seconds(text),
    help="Stop before this time is over, such as 90s, 5m or 1h, and say what was left out.",
)
@click.option(
    "--width",
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Stop where robust accuracy is known to plus or minus this much.",
)
@click.option(
    "--surrogate",
    "surrogates",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A model of your own on which `transfer` finds its points; may be given again.",
)
@click.option(
    "--features",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What a row of a table may become: constraints on its columns, as TOML.",
)
@click.option(
    "--certify",
    "ways",
    multiple=True,
    type=click.Choice(["interval", "crown", "smoothing"]),
    help="Prove a lower bound too, beside the attacks' upper one; may be given again.",
)
@click.option(
    "--property",
    "properties",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Prove or refute stated properties over boxes of inputs, as TOML.",
)
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    envvar="HAUBERK_WORKERS",
    help="Share the samples out among so many processes. The figures stay the same.",
)
@click.option(
    "--engine",
    metavar="NAME",
    envvar="HAUBERK_ENGINE",
    help="What runs the shards. [default: inline for one worker, otherwise processes]",
)
@options.spec("data", "threat", "seed", "gate.robust_accuracy", "gate.clean_accuracy")
@options.state
@options.output()
def command(
    *,
    attacks: str,
    budget: float | None,
    width: float | None,
    workers: int,
    engine: str | None,
    state: Path,
    output: Output,
    **what: Any,
) -> int:
    """Attack the file MODEL on held-out data, at several radii, and say how sure the figure is.

    Killed or interrupted, the same command goes on where it was. Exit code 1 where a limit of the
    gate is missed, or the figure is not to be believed.
    """
    from hauberk.adapters.local.evaluation import Plan, carried_out
    from hauberk.adapters.local.kept_shards import KeptShards
    from hauberk.adapters.local.proofs import proofs
    from hauberk.adapters.models.load import load
    from hauberk.core.digest import digest_file
    from hauberk.core.errors import UserError
    from hauberk.core.registry import find
    from hauberk.core.threat import ThreatModel
    from hauberk.evaluate.masking import masking
    from hauberk.evaluate.run import Run
    from hauberk.evaluate.sequential import Stop

    model: Path = what["model"]
    spec: Spec = what["spec"]
    laws: Path | None = what["features"]
    names = tuple(attacks.split(","))
    for name in names:
        find("attack", name)
    for file in (model, *what["surrogates"]):
        load(file)  # refuses here, in one line, what a worker would refuse later
    if "smoothing" in what["ways"] and spec.threat.norm != "l2":
        raise UserError("smoothing certifies in l2", hint="--threat l2:0.25")
    bounded = budget is not None or width is not None
    plan = Plan(
        model=str(model.absolute()),
        digest=digest_file(model),
        data=spec.data.source,
        norm=spec.threat.norm,
        eps=spec.threat.eps,
        radii=tuple(factor * spec.threat.eps for factor in spec.gate.eps_factors),
        attacks=names,
        seed=spec.harden.seed,
        samples=what["samples"],
        # In a drawn order, so that the first shards stand for all of them.
        shuffled=bounded,
        features=(str(laws.absolute()), digest_file(laws)) if laws else None,
        surrogates=tuple((str(one.absolute()), digest_file(one)) for one in what["surrogates"]),
    )
    kept = KeptShards.of(plan.work(), state / "evaluations")
    runner = find("engine", engine or ("inline" if workers == 1 else "processes"))
    with output.progress("samples") as advance:
        result, left_out = carried_out(
            plan,
            runner(workers=workers),
            kept,
            stop=Stop(budget=budget, width=width, shard=_BOUNDED if bounded else _SHARD),
            run=Run(progress=advance, clock=time.perf_counter),
        )
    evidence = result.evidence(
        plan.digest,
        clean_accuracy=spec.gate.clean_accuracy,
        robust_accuracy=spec.gate.robust_accuracy,
    )
    threat = ThreatModel(norm=plan.norm, eps=plan.eps)
    heading = f"{model}  {plan.digest[:19]}…  {result.name}, n = {result.n}  threat {threat}"
    if left_out:
        heading += f"  {left_out} samples left out"
    proven: tuple[Evidence, ...] = ()
    if what["ways"] or what["properties"]:
        with output.progress("proofs") as advance:
            told = proofs(plan, result.n, what["ways"], what["properties"], progress=advance)
            proven = tuple(told)
    code = output.evidence((*evidence, *proven, masking(result, plan.digest)), heading=heading)
    kept.drop()
    return code
