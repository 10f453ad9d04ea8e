"""The one training loop: epochs of batches, the best weights kept, resumable anywhere."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from math import ceil, cos, isfinite, pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.core.errors import HauberkError, UserError
from hauberk.harden.checkpoint import pack, unpack
from hauberk.harden.progress import Progress
from hauberk.harden.selection import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

    from hauberk.core.data import Dataset
    from hauberk.harden.run import Run

    Loss = Callable[[nn.Module, Tensor, Tensor, "Moment"], Tensor]
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

    def measured(self, epoch: int) -> bool:
        """Whether the weights are measured after that epoch, counted from 1."""
        return epoch % self.measure_every == 0 or epoch > 0.75 * self.epochs


@dataclass(frozen=True)
class Moment:
    """Where a training is: the ``share`` of its batches that is done, and the randomness to use."""

    share: float
    generator: torch.Generator


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is trained for.

    ``loss`` is the mean loss of a batch; ``measure`` scores the weights on held-out data, and of
    the measured epochs the best is kept that reaches ``floor`` clean accuracy. ``facts`` are the
    plain values that, with the schedule, make this run the same as another.
    """

    loss: Loss
    measure: Measure
    floor: float
    facts: Mapping[str, Any]


def train(
    module: nn.Module,
    data: Dataset,
    schedule: Schedule,
    objective: Objective,
    *,
    seed: int,
    run: Run,
) -> nn.Module:
    """Train a copy of ``module`` on ``data``; return the best weights, in evaluation mode.

    The same arguments give the same bits on the same machine, whether the run was interrupted or
    not. ``module`` and torch's global generator are left as they were.

    Raises:
        UserError: if ``run.resume`` belongs to another run.
        HauberkError: if the loss is no longer finite.
    """
    module = _in_fast_layout(deepcopy(module), data)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    kept, best, first = _weights(module), None, 0
    identity = {
        "data": data.digest,
        "seed": seed,
        "floor": objective.floor,
        "schedule": asdict(schedule),
        "objective": dict(objective.facts),
    }
    if run.resume is not None:
        kept, facts = unpack(run.resume, module, optimizer)
        best, first = _check_facts(facts, identity)
    start = run.clock()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    count = ceil(len(data) / schedule.batch_size)

    for epoch in range(first, schedule.epochs):
        module.train()
        total = 0.0
        with _seeded(seed, epoch) as generator:
            order = torch.randperm(len(data), generator=generator)
            for number, batch in enumerate(torch.split(order, schedule.batch_size)):
                share = (epoch * count + number) / (schedule.epochs * count)
                optimizer.param_groups[0]["lr"] = schedule.rate(share)
                value = objective.loss(module, x[batch], y[batch], Moment(share, generator))
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                total += value.item() * len(batch)
        mean = total / len(data)
        if not isfinite(mean):
            raise HauberkError(
                f"the loss became {mean} in epoch {epoch + 1}",
                where="training",
                hint="lower the learning rate",
            )

        module.eval()
        score = objective.measure(module) if schedule.measured(epoch + 1) else None
        if score is not None and (best is None or score.beats(best, objective.floor)):
            kept, best = _weights(module), score
        if run.checkpoint is not None and (epoch + 1) % run.every == 0:
            facts = {**identity, "epoch": epoch + 1, "best": best and asdict(best)}
            run.checkpoint(pack(module, optimizer, kept, facts))
        if run.progress is not None:
            seconds = run.clock() - start
            run.progress(
                Progress(
                    epoch=epoch + 1,
                    epochs=schedule.epochs,
                    loss=mean,
                    clean=None if score is None else score.clean,
                    robust=None if score is None else score.robust,
                    seconds=seconds,
                    eta=seconds / (epoch + 1 - first) * (schedule.epochs - epoch - 1),
                )
            )

    module.load_state_dict(kept)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in stubs
    return module.eval()


def _in_fast_layout(module: nn.Module, data: Dataset) -> nn.Module:
    """Channels last for images: convolutions on a processor are quicker so."""
    if len(data.shape) == 3:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs
    return module


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _check_facts(facts: Mapping[str, Any], identity: Mapping[str, Any]) -> tuple[Score | None, int]:
    """The best score and the number of finished epochs of the same run."""
    for key, value in identity.items():
        if facts.get(key) != value:
            raise UserError(
                f"belongs to a run with another {key}",
                where="checkpoint",
                hint="start the training anew",
            )
    best = facts.get("best")
    return (Score(**best) if best else None), int(facts["epoch"])


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
