"""The one training loop: epochs of batches, the best weights kept, resumable anywhere."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from math import ceil, cos, isfinite, pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.core.errors import HauberkError, UserError
from hauberk.harden.checkpoint import pack, unpack
from hauberk.harden.layout import arranged
from hauberk.harden.moment import Moment
from hauberk.harden.progress import Progress
from hauberk.harden.selection import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

    from hauberk.core.data import Dataset
    from hauberk.core.samples import Samples
    from hauberk.harden.average import Average
    from hauberk.harden.awp import AWP
    from hauberk.harden.collapse import Collapse
    from hauberk.harden.distributed import Team
    from hauberk.harden.early_stop import EarlyStop
    from hauberk.harden.pace import Pace
    from hauberk.harden.run import Run

    Transform = Callable[[nn.Module, Tensor, Tensor, Moment], tuple[Tensor, Tensor]]
    Perturbation = Callable[[nn.Module, Tensor, Tensor, Moment], Tensor]
    Loss = Callable[[nn.Module, Tensor, Tensor, Moment], Tensor]
    Measure = Callable[[nn.Module], Score]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast: AdamW under one cycle (Smith and Topin 2018).

    The learning rate rises from a 25th of ``learning_rate`` to all of it over the first 30 % of
    the batches, then falls along a cosine to nothing. The weights are measured each
    ``measure_every`` epochs and in each of the last quarter, where the best is to be found.

    Raises:
        UserError: if a number is out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    measure_every: int = 5

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.measure_every) < 1:
            raise UserError("epochs, batch size and measure_every must be at least 1")
        if not 0 < self.learning_rate < float("inf") or not 0 <= self.weight_decay < float("inf"):
            raise UserError("the learning rate must be positive, the weight decay at least 0")

    def rate(self, share: float) -> float:
        """Learning rate after that share of all batches."""
        if share < 0.3:
            return self.learning_rate * (0.04 + 0.96 * share / 0.3)
        return self.learning_rate * 0.5 * (1 + cos(pi * (share - 0.3) / 0.7))

    def measured(self, epoch: int, epochs: int) -> bool:
        """Whether the weights are measured after that epoch, counted from 1, of so many."""
        return epoch % self.measure_every == 0 or epoch > 0.75 * epochs


def untouched(_: nn.Module, x: Tensor, __: Tensor, ___: Moment) -> Tensor:
    """No attack."""
    return x


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is trained for.

    Each batch passes the ``transforms``; ``perturb`` makes of it, on the bare module, the inputs
    that ``loss`` forwards once and gives the mean loss of. ``replays`` steps are taken on it.
    ``measure`` scores the weights on held-out data, and of the measured epochs the best is kept
    that reaches ``floor`` clean accuracy. ``facts`` are the plain values that, with the schedule,
    make this run the same as another; ``memory`` is what ``perturb`` changes in place and finds
    again in the next epoch, in a resumed run too.
    """

    loss: Loss
    measure: Measure
    floor: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    perturb: Perturbation = untouched
    transforms: tuple[Transform, ...] = ()
    replays: int = 1
    average: Average | None = None
    early_stop: EarlyStop | None = None
    collapse: Collapse | None = None
    awp: AWP | None = None
    memory: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class _State:
    """What changes from epoch to epoch, but for module and optimizer.

    ``epochs`` is how many there are to be in all: fewer than planned where time is short.
    """

    copies: dict[str, dict[str, Tensor]]
    epochs: int
    epoch: int = 0
    best: Score | None = None
    sound: float = 0.0
    stale: int = 0
    level: int = 0
    over: bool = False

    def facts(self) -> dict[str, Any]:
        plain = {key: value for key, value in vars(self).items() if key not in {"copies", "best"}}
        return {**plain, "best": self.best and asdict(self.best)}


@dataclass(frozen=True, kw_only=True)
class _Loop:
    """One training: what it is of, and the steps that it is made of."""

    module: nn.Module
    data: Dataset | Samples
    schedule: Schedule
    objective: Objective
    seed: int
    optimizer: torch.optim.Optimizer
    state: _State
    forward: nn.Module
    team: Team

    def epoch(self) -> float:
        """Train for one epoch; return its mean loss."""
        plan, objective, state = self.schedule, self.objective, self.state
        x, y = torch.from_numpy(self.data.x), torch.from_numpy(self.data.y)
        count = ceil(len(x) / plan.batch_size)
        self.module.train()
        total = 0.0
        with _seeded(self.seed, state.epoch) as generator:
            order = torch.randperm(len(x), generator=generator)
            self.team.scatter(generator)
            for number, batch in enumerate(torch.split(order, plan.batch_size)):
                rows, weight = self.team.part(batch)
                done = state.epoch * count + number
                share = done / (state.epochs * count)
                self.optimizer.param_groups[0]["lr"] = plan.rate(share)
                inputs, targets = x[rows], y[rows]
                for transform in objective.transforms:
                    now = Moment(share, generator, rows, state.epoch)
                    inputs, targets = transform(self.module, inputs, targets, now)
                for replay in range(objective.replays):
                    now = Moment(share, generator, rows, state.epoch, replay, state.level)
                    value = self._step(inputs, targets, now, weight)
                    total += value * len(batch) / objective.replays
                    if objective.average is not None:
                        steps = done * objective.replays + replay + 1
                        objective.average.step(state.copies["average"], self.module, steps)
        return self.team.total(total) / (len(x) * self.team.size)

    def _step(self, inputs: Tensor, targets: Tensor, now: Moment, weight: float) -> float:
        objective = self.objective
        points = objective.perturb(self.module, inputs, targets, now)

        def loss() -> Tensor:
            return weight * objective.loss(self.forward, points, targets, now)

        self.optimizer.zero_grad()
        if objective.awp is not None and now.share >= objective.awp.warmup:
            with objective.awp.pressed(self.module, loss):
                value = loss()
                value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        else:
            value = loss()
            value.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return value.item()

    def close(self, pace: Pace | None) -> Score | None:
        """End an epoch: average, measure, keep the best, undo a collapse, see whether to stop."""
        objective, state = self.objective, self.state
        state.epoch += 1
        average = state.copies.get("average")
        if objective.average is not None and average is not None:
            objective.average.epoch(average, self.module, state.epoch, state.epochs)
        self.module.eval()
        self.team.level(self.module)
        if pace is not None:
            self.agree(pace.trained(state.epoch, self.schedule.epochs, self.measured))
        if not self.measured(state.epoch, state.epochs):
            return None
        with _holding(self.module, average):
            score = self.team.score(lambda: objective.measure(self.module))
            weights = _weights(self.module)
        if pace is not None:
            self.agree(pace.measured(state.epoch, self.schedule.epochs, self.measured))
        if self._collapsed(score, weights):
            return score
        gained = state.best is None or not state.best.beats(score, objective.floor)
        if state.best is None or score.beats(state.best, objective.floor):
            state.best, state.copies["kept"] = score, weights
        stop = objective.early_stop
        if stop is not None and state.epoch > stop.after * state.epochs:
            state.stale = 0 if gained else state.stale + 1
            state.over = stop.over(state.stale)
        return score

    def agree(self, epochs: int) -> None:
        """Train for so many epochs in all, as the process says that leads."""
        self.state.epochs = int(self.team.total(epochs if self.team.leads else 0))

    def measured(self, epoch: int, epochs: int) -> bool:
        """Whether that epoch is measured: each one where someone watches."""
        watched = self.objective.collapse is not None or self.objective.early_stop is not None
        return watched or self.schedule.measured(epoch, epochs)

    def _collapsed(self, score: Score, weights: dict[str, Tensor]) -> bool:
        """Go back to the last sound weights if these have collapsed; else these are sound."""
        guard, state = self.objective.collapse, self.state
        if guard is None or score.robust is None:
            return False
        if not guard.noticed(score.robust, state.sound):
            state.sound = max(state.sound, score.robust)
            state.copies["sound"] = weights
            return False
        state.level += 1
        self.module.load_state_dict(state.copies["sound"])
        if "average" in state.copies:
            state.copies["average"] = _weights(self.module)
        self.optimizer.state.clear()
        return True


def train(
    module: nn.Module,
    data: Dataset | Samples,
    schedule: Schedule,
    objective: Objective,
    *,
    seed: int,
    run: Run,
) -> nn.Module:
    """Train a copy of ``module`` on ``data``; return the best weights, in evaluation mode.

    The same arguments give the same bits on the same machine, whether the run was interrupted or
    not. ``module`` and torch's global generator are left as they were. Each process of a team of
    the same size ends with the same bits.

    Raises:
        UserError: if ``run.resume`` belongs to another run, or a team cannot train so.
        HauberkError: if the loss is no longer finite.
    """
    team = run.team
    if team.size > 1 and (objective.awp is not None or objective.memory):
        what = "a method that keeps its perturbations" if objective.memory else "awp"
        raise UserError(f"{what} is trained by one process", hint="harden.processes = 1")
    objective = replace(objective, floor=team.total(objective.floor if team.leads else 0.0))
    given, module = module, arranged(module, images=len(data.shape) == 3)
    optimizer = torch.optim.AdamW(
        module.parameters(),
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    names = ["kept"]
    names += ["average"] * (objective.average is not None)
    names += ["sound"] * (objective.collapse is not None)
    state = _State(copies={name: _weights(module) for name in names}, epochs=schedule.epochs)
    identity = {
        "data": data.digest,
        "seed": seed,
        "floor": objective.floor,
        "schedule": asdict(schedule),
        "objective": dict(objective.facts),
    }
    if (resume := team.told(run.resume)) is not None:
        state.copies, facts = unpack(resume, module, optimizer, names, objective.memory)
        _take_up(state, facts, identity)
    loop = _Loop(
        module=module,
        data=data,
        schedule=schedule,
        objective=objective,
        seed=seed,
        optimizer=optimizer,
        state=state,
        forward=team.wrapped(module),
        team=team,
    )
    start, first = run.clock(), state.epoch
    if run.pace is not None:
        fitting = run.pace.begun(schedule.epochs, loop.measured)
        if first == 0:
            loop.agree(fitting)

    while state.epoch < state.epochs and not state.over:
        mean = loop.epoch()
        if not isfinite(mean):
            raise HauberkError(
                f"the loss became {mean} in epoch {state.epoch + 1}",
                where="training",
                hint="lower the learning rate",
            )
        score = loop.close(run.pace)
        if (
            run.checkpoint is not None
            and team.leads
            and (state.epoch % run.every == 0 or state.over)
        ):
            facts = {**identity, **state.facts()}
            kept = {**state.copies, "memory": objective.memory}
            run.checkpoint(pack(module, optimizer, kept, facts))
        if run.progress is not None and team.leads:
            seconds = run.clock() - start
            left = 0 if state.over else state.epochs - state.epoch
            run.progress(
                Progress(
                    epoch=state.epoch,
                    epochs=state.epochs,
                    loss=mean,
                    clean=None if score is None else score.clean,
                    robust=None if score is None else score.robust,
                    seconds=seconds,
                    eta=seconds / (state.epoch - first) * left,
                    undone=state.level,
                )
            )

    trained = deepcopy(given)
    trained.load_state_dict(state.copies["kept"])
    trained.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in stubs
    return trained.eval()


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@contextmanager
def _holding(module: nn.Module, weights: dict[str, Tensor] | None) -> Iterator[None]:
    """Within, the module has those weights; None are its own."""
    if weights is None:
        yield
        return
    own = _weights(module)
    module.load_state_dict(weights)
    try:
        yield
    finally:
        module.load_state_dict(own)


def _take_up(state: _State, facts: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Fill the state from the facts of the same run."""
    for key, value in identity.items():
        if facts.get(key) != value:
            raise UserError(
                f"belongs to a run with another {key}",
                where="checkpoint",
                hint="start the training anew",
            )
    best = facts.get("best")
    state.best = Score(**best) if best else None
    state.epoch, state.epochs = int(facts["epoch"]), int(facts["epochs"])
    state.stale, state.level = int(facts["stale"]), int(facts["level"])
    state.sound, state.over = float(facts["sound"]), bool(facts["over"])


@contextmanager
def _seeded(seed: int, epoch: int) -> Iterator[torch.Generator]:
    """The epoch's own generator; dropout, which knows only torch's global one, gets a seed too.

    Since each epoch draws anew from ``(seed, epoch)``, a resumed run needs no generator's state.
    """
    if seed < 0:
        raise UserError(f"the seed must be at least 0, not {seed}")
    ours, theirs = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint64) >> 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(theirs))
        yield torch.Generator().manual_seed(int(ours))
