"""Several ways of hardening over several seeds: trained, measured alike, and the best one kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.local.trade_off import Examined, Terms, Trained, examined, trained
from hauberk.adapters.local.work import recipe
from hauberk.core.errors import UserError
from hauberk.core.interval import mean_interval, wilson
from hauberk.govern.trade_off import Way
from hauberk.harden.auto import Auto
from hauberk.harden.judge import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from hauberk.adapters.models.torch_model import TorchModel
    from hauberk.core.spec import Spec
    from hauberk.govern.trade_off import Mean
    from hauberk.harden.progress import Progress
    from hauberk.harden.run import Run


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of several: its way and seed."""

    names: str
    seed: int

    def __str__(self) -> str:
        return f"{self.names}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished training, measured; ``worth`` is what the best is kept by."""

    trial: Trial
    made: Trained
    found: Examined
    worth: float


def carried_out(
    trials: Sequence[Trial],
    spec: Spec,
    model: TorchModel,
    terms: Terms,
    *,
    given: bool,
    run: Callable[[Trial], Run],
    tell: Callable[[Trial, Progress], None],
    teacher: nn.Module | None = None,
) -> list[Outcome]:
    """Train and measure every trial, from ``model``.

    ``given`` says whether the model was trained before: only then is there something to lose, and
    to compare with. The best is to be kept by accuracy on validation data, not by what is shown.

    Raises:
        UserError: if a way is unknown or is no hardening.
    """
    data = terms.data
    train, validation = data.split("train"), data.split("validation")
    before = terms.robustness(model.module) if given and terms.samples else None
    score = judge(validation, terms.threat)
    outcomes = []
    for trial in trials:
        method = way_of(replace_method(spec, trial.names), len(train), teacher=teacher)

        def fit(run: Run, method: Any = method, trial: Trial = trial) -> nn.Module:
            module: nn.Module = method.fit(
                model.module, train, validation, terms.threat, seed=trial.seed, run=run
            )
            return module

        made = trained(fit, run=run(trial), tell=lambda now, trial=trial: tell(trial, now))  # type: ignore[misc]
        worth = score(made.module)
        outcomes.append(
            Outcome(
                trial=trial,
                made=made,
                found=examined(made, terms, model, before),
                worth=(worth.robust or 0.0),
            )
        )
    return outcomes


def way_of(spec: Spec, n: int, *, teacher: nn.Module | None = None) -> Any:
    """The method that a spec names: a race for ``auto``, otherwise a recipe.

    Raises:
        UserError: if the spec names a setting that the method has not.
    """
    names = [name.strip() for name in spec.harden.method.split(",")]
    if names == ["auto"]:
        for key in ("epochs", "steps", "step_size", "batch_size"):
            if getattr(spec.harden, key) is not None:
                raise UserError(
                    "auto chooses that itself", where=f"harden.{key}", hint="leave it out"
                )
        return Auto(budget=spec.harden.budget)
    made: Any = recipe(spec, n)
    if teacher is None:
        return made
    parts: list[Any] = list(made.parts)
    parts = [replace(one, teacher=teacher) if hasattr(one, "teacher") else one for one in parts]
    own = {"teacher": teacher} if hasattr(made, "teacher") else {}
    return replace(made, parts=tuple(parts), **own)


def replace_method(spec: Spec, names: str) -> Spec:
    """The spec with another way of hardening."""
    return msgspec.structs.replace(spec, harden=msgspec.structs.replace(spec.harden, method=names))


def ways(outcomes: Sequence[Outcome]) -> list[Way]:
    """The outcomes by way, over their seeds."""
    grouped: dict[str, list[Outcome]] = {}
    for one in outcomes:
        grouped.setdefault(one.trial.names, []).append(one)
    return [_way(name, some) for name, some in grouped.items()]


def _way(name: str, outcomes: Sequence[Outcome]) -> Way:
    figures = [one.found.figures for one in outcomes]
    n = figures[0]["n"]

    def mean(*path: str) -> float:
        return fmean(_at(one, path) for one in figures)

    def over_seeds(*path: str) -> Mean:
        return interval([_at(one, path) for one in figures], n)

    return Way(
        name=name,
        seeds=len(outcomes),
        clean=over_seeds("clean"),
        robust=over_seeds("robust"),
        int8_robust=over_seeds("int8", "robust"),
        seconds=mean("train_seconds"),
        cpu_seconds=mean("cpu_seconds"),
        peak_mib=mean("peak_mib"),
        p50_ms=mean("latency_p50_ms"),
        p95_ms=mean("latency_p95_ms"),
        cost=None if figures[0]["cost"] is None else mean("cost"),
        attacks={
            attack: {eps: over_seeds("attacks", attack, eps) for eps in at}
            for attack, at in figures[0]["attacks"].items()
        },
        curve=[(epoch, robust) for epoch, _, robust in figures[0]["curve"] if robust is not None],
    )


def _at(tree: Any, path: Sequence[str]) -> float:
    for key in path:
        tree = tree[key]
    return float(tree)


def interval(values: Sequence[float], n: int) -> Mean:
    """A mean of shares with its 95 % interval.

    Of one seed the interval is Wilson's over the ``n`` samples; of several Student's over seeds.
    """
    if len(values) == 1:
        return values[0], wilson(round(values[0] * n), n)
    low, high = mean_interval(values)
    return fmean(values), (max(0.0, low), min(1.0, high))
