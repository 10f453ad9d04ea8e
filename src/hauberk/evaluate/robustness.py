"""Attack a model with everything at hand, at every eps, and count who stays right."""

from __future__ import annotations

from dataclasses import replace
from math import isclose
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch

from hauberk.attack.attack import describe
from hauberk.attack.ball import Ball
from hauberk.attack.victim import module_of, quiet, require
from hauberk.core.data import Batch
from hauberk.core.detection import Detection
from hauberk.core.errors import HauberkError, UserError
from hauberk.core.model import Access
from hauberk.core.task import Classification
from hauberk.evaluate.batch_size import fitting
from hauberk.evaluate.boxes import annotated
from hauberk.evaluate.detected import Sightings
from hauberk.evaluate.gradient import gradient_health
from hauberk.evaluate.probes import probe
from hauberk.evaluate.result import AttackResult, Example, Robustness
from hauberk.evaluate.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.features import Features
    from hauberk.core.model import Model
    from hauberk.core.samples import Samples
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

EXAMPLES = 8
# The first samples of the data, whatever shard they are in: the gradient is looked at on the one
# kind, the other faces attacks of its own.
_LOOKED, _PROBED = 256, 32


def evaluate(
    model: Model,
    data: Dataset | Samples,
    threat: ThreatModel,
    *,
    attacks: Mapping[str, Attack],
    eps: Sequence[float] | None = None,
    task: Task | None = None,
    seed: int = 0,
    run: Run | None = None,
) -> Robustness:
    """Run every attack at every ``eps`` (the threat's own if None) on all samples.

    ``task`` is classification if None. Samples that are wrong untouched count as fallen and are
    not attacked. What an attack brings back is not trusted: every point is checked against the
    ball and the bounds and shown to the model again. Figures depend on the seed and on the
    attack's name, not on the other attacks nor on the size of the batches.

    Raises:
        UserError: if there is no attack or no eps, or an attack needs more access than there is.
        DataError: if the data lies outside the model's bounds.
        HauberkError: if an attack leaves the ball or returns something else than points.
    """
    if not attacks:
        raise UserError("no attack was named", hint="take at least pgd and square")
    for attack in attacks.values():
        require(model, attack.needs)
    radii = sorted({float(one) for one in (eps if eps is not None else [threat.eps])})
    if not radii:
        raise UserError("no eps was named")
    threats = [replace(threat, eps=radius) for radius in radii]
    with quiet(model):
        return _Evaluation(model, data, task or Classification(), seed, run or Run()).robustness(
            threat, threats, attacks
        )


class _Evaluation:
    """One evaluation under way: the model is quiet, the data at hand."""

    def __init__(
        self, model: Model, data: Dataset | Samples, task: Task, seed: int, run: Run
    ) -> None:
        self.model, self.data, self.task, self.seed, self.run = model, data, task, seed, run
        module = module_of(model)
        first = next(module.parameters(), None) if module is not None else None
        self.device = first.device if first is not None else torch.device("cpu")
        start, stop = run.rows or (0, len(data))
        if not 0 <= start < stop <= len(data):
            raise UserError(f"no samples {start} to {stop} among {len(data)}")
        self.rows = np.arange(start, stop)
        sample = torch.from_numpy(data.x[start]).to(self.device)
        self.batch_size = run.batch_size or fitting(model, sample)
        self.examples: list[Example] = []
        self.aim = task.to_the_end() if isinstance(task, Detection) else task
        kinds = annotated(data.y) if isinstance(task, Detection) else []
        self.sightings = Sightings(kinds) if kinds else None
        self.done = self.total = 0

    def robustness(
        self, threat: ThreatModel, threats: Sequence[ThreatModel], attacks: Mapping[str, Attack]
    ) -> Robustness:
        clean = np.zeros(len(self.data), dtype=np.bool_)
        for batch in self.batches(self.rows):
            out = self.out(batch.x)
            clean[batch.index] = self.task.correct(out, batch.y).cpu().numpy()
            if self.sightings is not None:
                self.sightings.see("", 0.0, batch.index, out)
        attacked = int(clean.sum()) if self.sightings is None else len(self.rows)
        self.total = attacked * len(attacks) * len(threats)
        found = tuple(
            self.attack(name, attack, threats, clean, example_eps=threat.eps)
            for name, attack in attacks.items()
        )
        looked = self.batches(np.flatnonzero(clean[:_LOOKED]))
        probed = self.batches(np.flatnonzero(clean[:_PROBED]))
        start, stop = int(self.rows[0]), int(self.rows[-1]) + 1
        whole = len(self.rows) == len(self.data)
        return Robustness(
            name=self.data.name if whole else f"{self.data.name}[{start}:{stop}]",
            dataset=self.data.digest,
            threat=threat,
            seed=self.seed,
            clean=clean[self.rows],
            eps=tuple(one.eps for one in threats),
            attacks=found,
            gradient=gradient_health(self.model, looked, threat, task=self.task),
            probes=probe(
                self.model,
                probed,
                threat,
                task=self.task,
                fallen=self.felled(found, threats, threat, clean),
            ),
            examples=tuple(self.examples),
            found=() if self.sightings is None else self.sightings.found(),
        )

    def attack(
        self,
        name: str,
        attack: Attack,
        threats: Sequence[ThreatModel],
        clean: NDArray[np.bool_],
        *,
        example_eps: float,
    ) -> AttackResult:
        start = self.run.now()
        alone = np.repeat(clean[None], len(threats), axis=0)
        # Those that fell at a smaller eps are attacked again: it costs little, since they fall
        # within a few steps, and only so can it be seen that accuracy does not rise with eps.
        # Of a detector every image is: its figures count all that it still finds in one.
        standing = np.flatnonzero(clean) if self.sightings is None else self.rows
        for threat, correct in zip(threats, alone, strict=True):
            for batch in self.batches(standing):
                rng = np.random.default_rng([self.seed, crc32(name.encode())])
                points = attack(self.model, batch, threat, task=self.aim, rng=rng)
                self.check(points, batch, threat, name)
                out = self.out(points)
                right = self.task.correct(out, batch.y).cpu().numpy()
                correct[batch.index] = right & clean[batch.index]
                if isclose(threat.eps, example_eps, rel_tol=1e-6):
                    if self.sightings is not None:
                        self.sightings.see(name, threat.eps, batch.index, out)
                    self.collect(points, batch, correct, name, threat.eps)
                self.advance(len(batch))
        return AttackResult(
            name=name,
            needs=attack.needs,
            parameters=describe(attack),
            correct=np.logical_and.accumulate(alone[:, self.rows], axis=0),
            alone=alone[:, self.rows],
            seconds=self.run.now() - start,
        )

    def felled(
        self,
        found: Sequence[AttackResult],
        threats: Sequence[ThreatModel],
        threat: ThreatModel,
        clean: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Which samples of the data fell to a gradient attack within the threat's own ball."""
        within = [k for k, one in enumerate(threats) if one.eps <= threat.eps * (1 + 1e-6)]
        standing = clean[self.rows]
        for one in found:
            if within and one.needs == Access.GRADIENTS:
                standing = standing & one.correct[within[-1]]
        fallen = np.zeros(len(self.data), dtype=np.bool_)
        fallen[self.rows] = clean[self.rows] & ~standing
        return fallen

    def batches(self, rows: NDArray[np.int64]) -> Iterator[Batch]:
        for start in range(0, len(rows), self.batch_size):
            index = rows[start : start + self.batch_size].astype(np.int64)
            yield Batch(
                x=torch.from_numpy(self.data.x[index]).to(self.device),
                y=torch.from_numpy(self.data.y[index]).to(self.device),
                index=index,
            )

    def out(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            return self.model(points.clone())

    def check(self, points: Tensor, batch: Batch, threat: ThreatModel, name: str) -> None:
        if points.shape != batch.x.shape or points.dtype != batch.x.dtype:
            raise HauberkError(
                f"returned {tuple(points.shape)} {points.dtype}, not {tuple(batch.x.shape)} "
                f"{batch.x.dtype}",
                where=f"attack {name!r}",
            )
        ball = Ball(threat.norm, threat.eps, self.model.bounds)
        outside = (~ball.contains(points, batch.x)).sum()
        if outside:
            raise HauberkError(
                f"{int(outside)} points outside the ball of {threat} or the bounds",
                where=f"attack {name!r}",
                hint="the attack is at fault; its figures would mean nothing",
            )

        if threat.features:
            self.keeps(threat.features, points, batch, name)

    def keeps(self, features: Features, points: Tensor, batch: Batch, name: str) -> None:
        """Refuse points that break a constraint, by a check that the attack has no part in."""
        rows = [one.detach().cpu().numpy() for one in (batch.x, points)]
        for kind, broken in features.violations(*rows).items():
            if broken.any():
                raise HauberkError(
                    f"{int(broken.sum())} rows break the constraint {kind!r}",
                    where=f"attack {name!r}",
                    hint="the attack is at fault; its figures would mean nothing",
                )

    def collect(
        self, points: Tensor, batch: Batch, correct: NDArray[np.bool_], name: str, eps: float
    ) -> None:
        """Keep the first few fallen samples, each once, for people to look at."""
        seen = {example.index for example in self.examples}
        for row in np.flatnonzero(~correct[batch.index]):
            if len(self.examples) == EXAMPLES:
                return
            if int(batch.index[row]) in seen:
                continue
            with torch.no_grad():
                out = self.model(points[row : row + 1].clone())
            self.examples.append(
                Example(
                    index=int(batch.index[row]),
                    attack=name,
                    eps=eps,
                    clean=batch.x[row].cpu().numpy().copy(),
                    adversarial=points[row].detach().cpu().numpy().copy(),
                    label=int(batch.y[row]) if batch.y.ndim == 1 else None,
                    answer=int(out.argmax()) if out.ndim == 2 else None,
                )
            )

    def advance(self, count: int) -> None:
        self.done += count
        if self.run.progress is not None:
            self.run.progress(self.done, self.total)
