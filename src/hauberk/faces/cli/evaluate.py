"""``hauberk evaluate``: measure a model against its threat model."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.errors import ConfigError
from hauberk.faces.cli import options
from hauberk.faces.cli.duration import seconds

if TYPE_CHECKING:
    from hauberk.adapters.local.evaluation import Plan
    from hauberk.adapters.local.kept_shards import KeptShards
    from hauberk.core.evidence import Evidence
    from hauberk.core.model import Model
    from hauberk.core.ports import Executor
    from hauberk.core.spec import Spec
    from hauberk.evaluate.result import Robustness
    from hauberk.evaluate.sequential import Stop
    from hauberk.faces.cli.output import Output

_SHARD = 128  # what is done again, at most, after a kill
_BOUNDED = 100


@click.command()
@click.argument("model")
@click.option(
    "--attacks",
    default="fgsm,pgd,square",
    show_default=True,
    metavar="NAME,…",
    help="The attacks; the worst case over them is the figure. `auto` is the standard ensemble, "
    "`best` ours.",
)
@click.option(
    "--task",
    default="classification",
    show_default=True,
    metavar="TASK",
    help="What it means to be right: classification, binary, multi-label, regression:TOLERANCE, or "
    "detection:GOAL with vanish, appear or mislabel.",
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
    metavar="MODEL",
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
@click.option(
    "--queries",
    type=click.IntRange(1),
    metavar="N",
    help="What an attack without gradients may ask about one sample, at most.",
)
@click.option(
    "--trusted",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with trusted/*.pub: whose consent counts. [default: keys of --state]",
)
@click.option(
    "--against",
    metavar="MODEL",
    help="Another model, such as the one in service: what was lost untouched and gained attacked.",
)
@click.option(
    "--range",
    "scale",
    default="",
    metavar="LOW:HIGH",
    help="What the models take where it is not [0, 1], such as 0:255. Radii stay in [0, 1].",
)
@click.option(
    "--mean", default="", metavar="NUMBERS", help="What is taken off each channel, in that range."
)
@click.option("--std", default="", metavar="NUMBERS", help="What each channel is divided by then.")
@click.option("--channels-last", is_flag=True, help="The models take (height, width, channels).")
@click.option(
    "--own-units",
    is_flag=True,
    help="The models take the numbers of a table as they stand in it, not scaled to [0, 1].",
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
    """Attack MODEL on held-out data, at several radii, and say how sure the figure is.

    MODEL is a file (safetensors, ONNX, a torch.export program), python:FILE.py:NAME@WEIGHTS for
    what a function of your own makes, grid:FILE for a detector of the FastestDet family, a
    KIND:NAME of a plug-in, or the address of an endpoint that speaks the Open Inference Protocol
    V2, http://HOST/v2/models/NAME; its owner has to consent (`hauberk consent`), and the client's
    token is read from HAUBERK_TOKEN.

    Killed or interrupted, the same command goes on where it was; with an endpoint it begins anew.
    Exit code 1 where a limit of the gate is missed, or the figure is not to be believed.
    """
    from hauberk.adapters.local.evaluation import tried
    from hauberk.adapters.local.proofs import proofs
    from hauberk.adapters.local.tasks import task_of
    from hauberk.core.errors import UserError
    from hauberk.core.registry import find
    from hauberk.evaluate.compare import compare
    from hauberk.evaluate.sequential import Stop
    from hauberk.faces.cli import endpoint

    _prepare(what)
    model: str = what["model"]
    spec: Spec = what["spec"]
    names = tuple(attacks.split(","))
    for name in names:
        find("attack", name)
    if "smoothing" in what["ways"] and spec.threat.norm != "l2":
        raise UserError("smoothing certifies in l2", hint="--threat l2:0.25")
    task_of(what["task"])  # an unknown one is refused before anything is opened
    proven = what["ways"] or what["properties"]
    if what["task"] != "classification" and (proven or endpoint.is_endpoint(model)):
        raise UserError(
            "proofs and endpoints know classification alone",
            hint="leave out --task, or --certify and --property",
        )
    bounded = budget is not None or width is not None
    if bounded and what["against"]:
        raise UserError("two models are compared on all samples", hint="without a budget or width")
    if endpoint.is_endpoint(model):
        if bounded or workers > 1 or engine or proven or what["against"]:
            raise ConfigError(
                "an endpoint is asked by one process, all samples at once, and proves nothing",
                where=model,
                hint="leave out --budget, --width, --workers, --engine, --certify, --property, "
                "--against",
            )
        found, digest = endpoint.attacked(
            model,
            names,
            spec,
            output,
            keys=what["trusted"] or state / "keys",
            samples=what["samples"],
            queries=what["queries"],
            extra=(what["features"], what["surrogates"]),
        )
        heading = f"{model}  {digest[:19]}…  {found.name}, n = {found.n}"
        return output.evidence(_claims(found, digest, spec), heading=heading + _threat(spec))
    # In a drawn order if it may be cut short, so that the first shards stand for all of them.
    plan = _plan(model, spec, names, what, shuffled=bounded)
    _tell_access(tried(plan), output)
    other = _other(plan, str(what["against"])) if what["against"] else None
    stop = Stop(budget=budget, width=width, shard=_BOUNDED if bounded else _SHARD)
    measure = _Measure(state, output, stop, workers=workers, engine=engine)
    result, left_out = measure(plan)
    evidence: list[Evidence] = []
    if other is not None:
        limits = {"clean_drop": spec.gate.clean_drop, "robust_gain": spec.gate.robust_gain}
        evidence += compare(measure(other)[0], result, subject=plan.digest, **limits)
    if proven:
        with output.progress("proofs") as advance:
            evidence += proofs(plan, result.n, what["ways"], what["properties"], progress=advance)
    heading = f"{model}  {plan.digest[:19]}…  {result.name}, n = {result.n}{_threat(spec)}"
    if left_out:
        heading += f"  {left_out} samples left out"
    *claims, believed = _claims(result, plan.digest, spec)
    evidence += _detected(plan, result)
    code = _told(output, plan, result, [*claims, *evidence, believed], heading)
    for one in (plan, other):
        if one is not None:
            measure.kept(one).drop()
    return code


def _prepare(what: dict[str, Any]) -> None:
    """Name every model with what its inputs go through first, if anything."""
    from hauberk.adapters.models.prepared import settings_text
    from hauberk.faces.cli.endpoint import is_endpoint

    flags = {name: what.pop(name) for name in ("scale", "mean", "std", "channels_last")}
    settings = settings_text(**flags)
    if (settings or what["own_units"]) and is_endpoint(what["model"]):
        raise ConfigError(
            "an endpoint prepares its inputs itself",
            where=what["model"],
            hint="leave out --range, --mean, --std, --channels-last and --own-units",
        )
    if what["own_units"] and (what["ways"] or what["properties"]):
        raise ConfigError("proofs know scaled rows alone", hint="leave out --own-units")
    if not settings:
        return
    for name in ("model", "against"):
        if what[name]:
            what[name] = f"prepared:{settings}@{what[name]}"
    what["surrogates"] = tuple(f"prepared:{settings}@{one}" for one in what["surrogates"])


def _tell_access(model: Model, output: Output) -> None:
    """Say where no gradient is used, and why."""
    from hauberk.core.model import Access

    if model.access == Access.GRADIENTS:
        return
    why = getattr(model, "why", "") or "the model gives none"
    output.say(f"no gradients ({why}): attacked by {Access(model.access).name.lower()}")


def _claims(result: Robustness, digest: str, spec: Spec) -> list[Evidence]:
    """What the attacks found, and last whether it is to be believed."""
    from hauberk.evaluate.masking import masking

    found = result.evidence(
        digest,
        clean_accuracy=spec.gate.clean_accuracy,
        robust_accuracy=spec.gate.robust_accuracy,
    )
    return [*found, masking(result, digest)]


def _detected(plan: Plan, result: Robustness) -> tuple[Evidence, ...]:
    """A detector's miss rates and precision; nothing of other models."""
    from hauberk.evaluate.detected import detector_figures

    return detector_figures(result, plan.dataset().y, plan.digest) if result.found else ()


def _threat(spec: Spec) -> str:
    return f"  threat {spec.threat.norm}:{spec.threat.eps:g}"


def _plan(
    model: str, spec: Spec, attacks: tuple[str, ...], what: dict[str, Any], *, shuffled: bool
) -> Plan:
    """What is to be measured; what a worker would refuse is refused here, in one line."""
    from hauberk.adapters.local.evaluation import Plan
    from hauberk.adapters.models.source import located, model_digest, open_model
    from hauberk.core.digest import digest_file

    laws: Path | None = what["features"]
    for one in (model, *what["surrogates"]):
        open_model(one)
    return Plan(
        model=located(model),
        digest=model_digest(model),
        data=spec.data.source,
        norm=spec.threat.norm,
        eps=spec.threat.eps,
        radii=tuple(factor * spec.threat.eps for factor in spec.gate.eps_factors),
        attacks=attacks,
        seed=spec.harden.seed,
        samples=what["samples"],
        shuffled=shuffled,
        queries=what["queries"],
        task=what["task"],
        own_units=what["own_units"],
        features=(str(laws.absolute()), digest_file(laws)) if laws else None,
        surrogates=tuple((located(one), model_digest(one)) for one in what["surrogates"]),
    )


def _other(plan: Plan, model: str) -> Plan:
    """The same plan for another model."""
    import msgspec

    from hauberk.adapters.models.source import located, model_digest, open_model

    open_model(model)
    return msgspec.structs.replace(plan, model=located(model), digest=model_digest(model))


class _Measure:
    """Carries out plans on one engine; finished shards are kept under the state directory."""

    def __init__(
        self, state: Path, output: Output, stop: Stop, *, workers: int, engine: str | None
    ) -> None:
        from hauberk.core.registry import find

        chosen = find("engine", engine or ("inline" if workers == 1 else "processes"))
        self._engine: Executor = chosen(workers=workers)
        self._home, self._output, self._stop = state / "evaluations", output, stop

    def __call__(self, plan: Plan) -> tuple[Robustness, int]:
        from hauberk.adapters.local.evaluation import carried_out
        from hauberk.evaluate.run import Run

        with self._output.progress("samples") as advance:
            run = Run(progress=advance, clock=time.perf_counter)
            return carried_out(plan, self._engine, self.kept(plan), stop=self._stop, run=run)

    def kept(self, plan: Plan) -> KeptShards:
        from hauberk.adapters.local.kept_shards import KeptShards

        return KeptShards.of(plan.work(), self._home)


def _told(
    output: Output, plan: Plan, result: Robustness, evidence: list[Evidence], heading: str
) -> int:
    """The result in the form asked for; as a page, with curves, classes and pictures."""
    from hauberk.adapters.local.evaluation import opened_plan
    from hauberk.adapters.local.tasks import task_of
    from hauberk.evaluate.queries import query_curves
    from hauberk.faces.cli.lab_report import command_of, lab_page

    command = command_of(plan)
    evidence = [replace(one, spec={**one.spec, "command": command}) for one in evidence]
    if output.form != "html":
        return output.evidence(evidence, heading=heading)

    model, data, threat, attacks = opened_plan(plan)
    task = task_of(plan.task)
    queries = query_curves(model, data, threat, attacks=attacks, seed=plan.seed, task=task)
    short = plan.model.rpartition("/")[2]  # the command below names the whole place
    title = f"{short}{heading[heading.find('  ') :]}"
    page = lab_page(plan, result, data, evidence, title=title, queries=queries)
    return output.page(page.html(), evidence)
