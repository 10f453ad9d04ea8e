"""What ``hauberk evaluate`` found, as a page."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.data import Dataset
from hauberk.core.errors import DataError
from hauberk.evaluate.result import rate
from hauberk.govern.lab_page import ClassRow, Curve, LabPage
from hauberk.govern.report import Example

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hauberk.adapters.local.evaluation import Plan
    from hauberk.core.evidence import Evidence
    from hauberk.core.samples import Samples
    from hauberk.evaluate.result import Robustness

    Queries = Mapping[str, Sequence[tuple[int, float, float, float]]]

SHOWN = 8


def command_of(plan: Plan) -> str:
    """The command line that repeats an evaluation."""
    words = [
        *("hauberk", "evaluate", plan.model, "--data", plan.data),
        *("--threat", f"{plan.norm}:{plan.eps!r}", "--attacks", ",".join(plan.attacks)),
        *("--seed", str(plan.seed), "--samples", str(plan.samples)),
    ]
    factors = [f"{radius / plan.eps:.12g}" for radius in plan.radii] if plan.eps else []
    if factors:
        words += ["--set", f"gate.eps_factors={','.join(factors)}"]
    if plan.task != "classification":
        words += ["--task", plan.task]
    if plan.queries is not None:
        words += ["--queries", str(plan.queries)]
    if plan.own_units:
        words.append("--own-units")
    for file, _ in plan.surrogates:
        words += ["--surrogate", file]
    if plan.features is not None:
        words += ["--features", plan.features[0]]
    return shlex.join(words)


def lab_page(
    plan: Plan,
    result: Robustness,
    data: Dataset | Samples,
    evidence: Sequence[Evidence],
    *,
    title: str,
    queries: Queries,
) -> LabPage:
    """The page of one evaluation; ``data`` are its samples in order."""
    eps = result.threat.eps
    worst, clean = result.worst(eps), result.clean
    return LabPage(
        title=title,
        command=command_of(plan),
        evidence=evidence,
        curves=list(_curves(result)),
        classes=list(_classes(data.y[: result.n], clean, worst))
        if isinstance(data, Dataset)
        else [],
        examples=list(_examples(result)),
        queries=[Curve(name=name, points=points) for name, points in queries.items()],
        row=board_row(plan, result),
        facts={
            "model": plan.digest,
            "dataset": result.dataset,
            "samples": str(result.n),
            "seed": str(result.seed),
            "attacks": ", ".join(
                f"{one.name} ({one.seconds:.1f} s)" if one.seconds else one.name
                for one in result.attacks
            ),
        },
    )


def board_row(plan: Plan, result: Robustness) -> list[tuple[str, str]]:
    """The line for a leader board, in the columns of RobustBench."""
    worst = result.worst(result.threat.eps)
    return [
        ("method", plan.model.rpartition("/")[2]),
        ("standard accuracy", f"{result.clean.mean():.2%}"),
        ("robust accuracy", f"{worst.mean():.2%}"),
        ("threat", str(result.threat)),
        ("attacks", "+".join(one.name for one in result.attacks)),
        ("samples", str(result.n)),
    ]


def _curves(result: Robustness) -> Iterator[Curve]:
    named = [(one.name, one.correct) for one in result.attacks]
    worst = np.stack([result.worst(eps) for eps in result.eps])
    # The worst case first, and no more lines than can be told apart.
    for name, correct in [("worst case", worst), *named[:3]]:
        points = [(0.0, *_share(result.clean))]
        points += [(eps, *_share(row)) for eps, row in zip(result.eps, correct, strict=True)]
        yield Curve(name=name, points=points)


def _share(correct: np.ndarray) -> tuple[float, float, float]:
    value, (low, high) = rate(correct)
    return value, low, high


def _classes(y: np.ndarray, clean: np.ndarray, worst: np.ndarray) -> Iterator[ClassRow]:
    for label in np.unique(y):
        mine = y == label
        share, (low, high) = rate(worst[mine])
        yield ClassRow(
            label=int(label),
            n=int(mine.sum()),
            clean=float(clean[mine].mean()),
            robust=share,
            low=low,
            high=high,
        )


def _examples(result: Robustness) -> Iterator[Example]:
    moved = sorted(
        result.examples, key=lambda one: float(np.abs(one.adversarial - one.clean).sum())
    )
    for one in moved[:SHOWN]:
        try:
            yield Example.of(
                one.clean,
                one.adversarial,
                label=_named(one.label),
                clean_answer=_named(one.label),
                adversarial_answer=_named(one.answer),
            )
        except DataError:
            return  # rows of a table are no pictures


def _named(label: int | None) -> str:
    """A class; nothing where an answer is more than one."""
    return "" if label is None else str(label)
