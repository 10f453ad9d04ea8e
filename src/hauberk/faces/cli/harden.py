"""``hauberk harden``: train a model that withstands the attacks, and show what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.errors import UserError
from hauberk.faces.cli import options
from hauberk.faces.cli.duration import seconds

if TYPE_CHECKING:
    from hauberk.adapters.local.hardening import Outcome, Trial
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.harden.progress import Progress
    from hauberk.harden.run import Run

_MAX_CHECKPOINT = 1 << 31
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where the weights go, as safetensors; the ONNX files are put beside them.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="NAMES",
    help="Another way, trained and measured alike; may be given again. The best is kept.",
)
@click.option("--seeds", type=click.IntRange(1, 100), default=1, show_default=True)
@click.option(
    "--budget",
    metavar="TIME",
    callback=lambda _ctx, _param, text: seconds(text),
    help="Race the methods within this time, such as 90s, 5m or 1h, instead of naming one.",
)
@click.option("--teacher", type=_FILE, help="Whom distil and robust-distil learn from.")
@click.option(
    "--features",
    type=_FILE,
    metavar="FILE",
    help="What a row of a table may become: constraints on its columns, as TOML.",
)
@click.option("--twin", is_flag=True, help="Train a twin too, from weights of its own.")
@click.option(
    "--twin-width",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="Widths of the twin, as a share of MODEL's; below 1 it is distilled, its cost printed.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Held-out samples that the result is attacked on.",
)
@click.option("--price", type=click.FloatRange(0), help="What an hour of this machine costs.")
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The trade-off as an HTML page: table, Pareto front, convergence.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="HAUBERK_STATE",
    metavar="DIR",
    help="Enter the evidence into the ledger of this directory too.",
)
@options.spec("data", "threat", "seed", "with", "harden.epochs", "model.architecture")
@options.output("table", "json")
def command(*, model: Path | None, target: Path, spec: Spec, output: Output, **what: Any) -> int:
    """Train MODEL on against the threat; without MODEL, train a new one.

    MODEL is a safetensors file that declares its architecture. `--with` names a method and what
    joins it, as in `early-stop,adversarial,cutmix,distil`. Interrupted or killed, the same command
    goes on from the last epoch and ends with the same weights. Exit code 1 where the result does
    not withstand more than MODEL did under attacks stronger than those it was trained against.
    """
    from hauberk.adapters.data.features_file import read_features
    from hauberk.adapters.data.source import load_dataset
    from hauberk.adapters.local.files import write_file
    from hauberk.adapters.local.hardening import carried_out, replace_method
    from hauberk.adapters.local.trade_off import Terms
    from hauberk.adapters.models import weights
    from hauberk.core.threat import ThreatModel

    data, laws = load_dataset(spec.data.source), what["features"]
    start = _start(model, data, spec)
    spec = _budgeted(spec, what["budget"])
    terms = Terms(
        data=data,
        threat=ThreatModel(
            norm=spec.threat.norm,
            eps=spec.threat.eps,
            features=read_features(laws, data.columns) if laws else None,
        ),
        samples=what["samples"],
        price=what["price"],
        limits={
            "clean_accuracy": spec.gate.clean_accuracy,
            "robust_accuracy": spec.gate.robust_accuracy,
        },
    )
    kept = _Checkpoints(target)
    trials = _trials(spec, what["against"], what["seeds"])
    with output.progress("hardening") as advance:

        def tell(trial: Trial, now: Progress) -> None:
            advance(now.epoch, now.epochs)
            if now.robust is not None:
                undone = f", {now.undone} collapses undone" if now.undone else ""
                output.say(
                    f"{trial}: epoch {now.epoch}: loss {now.loss:.3f}, clean {now.clean:.3f}, "
                    f"robust {now.robust:.3f}{undone}"
                )

        outcomes = carried_out(
            trials,
            spec,
            start,
            terms,
            given=model is not None,
            run=kept.run,
            tell=tell,
            teacher=weights.load(what["teacher"]).module if what["teacher"] else None,
        )
    best = max(outcomes, key=lambda one: one.worth)
    write_file(target.with_suffix(".onnx"), best.found.exported, mode=0o644)
    write_file(target.with_suffix(".int8.onnx"), best.found.int8, mode=0o644)
    write_file(target, best.found.weights, mode=0o644)
    way = replace_method(spec, best.trial.names)
    twin: dict[str, Any] = {}
    if what["twin"] and what["twin_width"] < 1:
        twin = _small_twin(spec, start, best, terms, target, kept, what)
    elif what["twin"]:
        twin = _twin(way, start, terms, target, kept)
    if what["page"] is not None:
        _page(outcomes, best, what["page"], f"Hardening on {data.name}, {terms.threat}")
    if what["state"] is not None:
        _enter(outcomes, what["state"], spec)
    kept.drop()
    facts = {"weights": str(target), "kept": str(best.trial), **twin, "resumed": kept.resumed}
    return _tell(outcomes, best, facts, output)


def _start(model: Path | None, data: Any, spec: Spec) -> Any:
    """The model to start from, checked against the data; a new one where none is named."""
    from hauberk.adapters.models import weights
    from hauberk.adapters.models.architectures import build
    from hauberk.adapters.models.torch_model import Architecture, TorchModel

    declared = Architecture(
        spec.model.architecture, {"in_shape": list(data.shape), "classes": data.classes}
    )
    if model is None:
        module = build(declared.name, declared.params, seed=spec.harden.seed)
        return TorchModel(module, data.bounds, declared)
    start = weights.load(model)
    shape = start.architecture.params["in_shape"] if start.architecture else None
    if shape is not None and list(shape) != list(data.shape):
        raise UserError(
            f"the model takes {shape}, the data is {list(data.shape)}", where=str(model)
        )
    return start


def _budgeted(spec: Spec, budget: float | None) -> Spec:
    """With a budget and no method of one's own the methods race."""
    import msgspec

    if budget is None:
        return spec
    method = "auto" if spec.harden.method == "adversarial" else spec.harden.method
    if method != "auto":
        raise UserError("a budget is for method auto", hint="leave out --with, or --budget")
    harden = msgspec.structs.replace(spec.harden, method=method, budget=budget)
    return msgspec.structs.replace(spec, harden=harden)


def _trials(spec: Spec, against: tuple[str, ...], seeds: int) -> list[Trial]:
    from hauberk.adapters.local.hardening import Trial

    names = [spec.harden.method, *against]
    if len(set(names)) < len(names):
        raise UserError(f"named twice: {', '.join(names)}", where="--against")
    return [
        Trial(names=one, seed=spec.harden.seed + number) for one in names for number in range(seeds)
    ]


class _Checkpoints:
    """A checkpoint for each trial beside the target, until all is done."""

    def __init__(self, target: Path) -> None:
        self._target, self._paths = target, set[Path]()
        self.resumed = False

    def run(self, trial: Trial) -> Run:
        from hauberk.adapters.local.files import read_file, write_file
        from hauberk.core.digest import digest_bytes
        from hauberk.harden.run import Run

        mark = digest_bytes(str(trial).encode())[-8:]
        path = self._target.with_suffix(f".{mark}.checkpoint")
        self._paths.add(path)
        resume = read_file(path, limit=_MAX_CHECKPOINT)
        self.resumed |= resume is not None
        return Run(checkpoint=lambda data: write_file(path, data), resume=resume)

    def drop(self) -> None:
        for path in self._paths:
            path.unlink(missing_ok=True)


def _twin(spec: Spec, start: Any, terms: Any, target: Path, kept: _Checkpoints) -> dict[str, str]:
    """A robust fallback: the same way, other weights, fewer epochs."""
    from hauberk.adapters.local.files import write_file
    from hauberk.adapters.local.hardening import Trial, replace_method
    from hauberk.adapters.local.work import TWIN_SHARE, recipe
    from hauberk.adapters.models import onnx, weights
    from hauberk.adapters.models.architectures import build
    from hauberk.adapters.models.torch_model import TorchModel
    from hauberk.core.digest import digest_bytes

    data, seed = terms.data, spec.harden.seed + 1
    if spec.harden.method == "auto":
        spec = replace_method(spec, "ema,adversarial")
    module = recipe(spec, len(data.indices("train")), share=TWIN_SHARE).fit(
        build(start.architecture.name, start.architecture.params, seed=seed),
        data.split("train"),
        data.split("validation"),
        terms.threat,
        seed=seed,
        run=kept.run(Trial(names=f"twin of {spec.harden.method}", seed=seed)),
    )
    path = target.with_name(f"{target.stem}-twin.safetensors")
    exported = onnx.export(module, data.shape)
    write_file(path.with_suffix(".onnx"), exported, mode=0o644)
    saved = weights.save(TorchModel(module, data.bounds, start.architecture))
    write_file(path, saved, mode=0o644)
    return {"twin": str(path), "twin_onnx_digest": digest_bytes(exported)}


def _small_twin(
    spec: Spec,
    start: Any,
    best: Outcome,
    terms: Any,
    target: Path,
    kept: _Checkpoints,
    what: dict[str, Any],
) -> dict[str, Any]:
    """A smaller fallback, distilled from the teacher that is named, or from the result."""
    from hauberk.adapters.local.files import write_file
    from hauberk.adapters.local.hardening import Trial
    from hauberk.adapters.local.small_twin import METHOD, small_twin
    from hauberk.adapters.models import onnx, weights
    from hauberk.core.digest import digest_bytes

    teacher = weights.load(what["teacher"]).module if what["teacher"] else best.made.module
    made = small_twin(
        spec,
        start,
        teacher,
        terms,
        width=what["twin_width"],
        run=kept.run(Trial(names=f"twin by {METHOD}", seed=spec.harden.seed + 1)),
    )
    path = target.with_name(f"{target.stem}-twin.safetensors")
    exported = onnx.export(made.model.module, terms.data.shape)
    write_file(path.with_suffix(".onnx"), exported, mode=0o644)
    write_file(path, weights.save(made.model), mode=0o644)
    figures = {f"twin_{key}": value for key, value in made.figures.items()}
    return {"twin": str(path), "twin_onnx_digest": digest_bytes(exported), **figures}


def _page(outcomes: list[Outcome], best: Outcome, path: Path, title: str) -> None:
    from hauberk.adapters.local.files import write_file
    from hauberk.adapters.local.hardening import ways
    from hauberk.govern.trade_off_page import page

    text = page(ways(outcomes), title=title, kept=str(best.trial))
    write_file(path, text.encode(), mode=0o644)


def _enter(outcomes: list[Outcome], state: Path, spec: Spec) -> None:
    """The evidence of every trial, and its figures, into the ledger."""
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.setup import shop_of

    shop = shop_of(Home.open(state), spec)
    for one in outcomes:
        subject = one.found.figures["digest"]
        shop.enter(one.found.evidence, scope=f"harden:{subject}")
        body = {"trial": str(one.trial), "figures": one.found.figures}
        key = f"harden:{subject}:figures"
        shop.ledger.append("evidence", subject, body, at=shop.clock(), key=key)


def _tell(outcomes: list[Outcome], best: Outcome, facts: dict[str, Any], output: Output) -> int:
    from hauberk.adapters.local.hardening import ways
    from hauberk.govern import formats
    from hauberk.govern.rows import findings, summary
    from hauberk.govern.text import columns
    from hauberk.govern.trade_off import HEAD, rows

    found = best.found
    facts |= {
        "weights_digest": found.figures["weights"],
        "onnx_digest": found.figures["digest"],
        "int8_digest": found.figures["int8"]["digest"],
        "seconds": round(found.figures["train_seconds"], 1),
    }
    if output.form == "json":
        trials = [{"trial": str(one.trial), **one.found.figures} for one in outcomes]
        evidence = [formats.plain(one) for one in found.evidence]
        output.data({**facts, "trials": trials, "evidence": evidence})
    else:
        table = columns([[name.upper() for name in HEAD], *rows(ways(outcomes))])
        lines = columns([["KEY", "VALUE"], *([key, str(value)] for key, value in facts.items())])
        evidence_table = formats.table(found.evidence, heading=str(best.trial))
        output.write("\n".join([*table, "", *lines, "", evidence_table]))
    output.say(summary(found.evidence))
    if findings(found.evidence):
        output.say("failed: the result does not hold what a hardening must; see the evidence")
        return 1
    return 0
