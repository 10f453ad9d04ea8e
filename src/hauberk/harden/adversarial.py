"""Adversarial training: learn on the worst points near the data (Madry et al. 2018)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from hauberk.core.errors import UserError
from hauberk.harden import training
from hauberk.harden.fresh import fresh
from hauberk.harden.perturb import Perturb, frozen
from hauberk.harden.precision import Precision, autocast
from hauberk.harden.run import Run
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.core.data import Dataset
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """Minimise the mean cross-entropy under an attack of ``steps`` steps within the threat.

    ``step_size`` is in the unit of the input, a third of eps if None. ``clean_share`` in [0, 1) is
    the weight of the untouched batch in the loss. Kept are the weights of the highest accuracy
    under ``validation_steps`` steps among those that lose at most ``clean_drop`` of the clean
    accuracy that the given module has; at most ``validation_most`` samples are attacked for it.
    ``start`` says whether to draw new weights or to go on from the given ones. Over the first
    ``ramp`` of the batches eps grows from 0: under the full attack new weights may never learn
    anything but the most frequent class.

    Raises:
        UserError: if a number is out of range.
    """

    start: Literal["fresh", "given"] = "fresh"
    ramp: float = 0.3
    epochs: int = 40
    steps: int = 5
    step_size: float | None = None
    learning_rate: float = 2e-3
    batch_size: int = 64
    weight_decay: float = 0.0
    clean_share: float = 0.0
    label_smoothing: float = 0.0
    clean_drop: float = 0.02
    validation_steps: int = 10
    validation_most: int = 1000
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if min(self.steps, self.validation_steps, self.validation_most) < 1:
            raise UserError("steps and validation samples must be at least 1")
        if self.start not in {"fresh", "given"}:
            raise UserError(f"unknown start {self.start!r}", hint="fresh or given")
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise UserError(f"the step size must be positive, not {self.step_size}")
        shares = (self.ramp, self.clean_share, self.label_smoothing)
        if not all(0 <= share < 1 for share in shares):
            raise UserError("ramp, clean_share and label_smoothing must lie in [0, 1)")

    def fit(
        self,
        module: nn.Module,
        train: Dataset,
        validation: Dataset,
        threat: ThreatModel,
        *,
        seed: int,
        run: Run | None = None,
    ) -> nn.Module:
        """A copy of ``module`` trained against ``threat``, the best on ``validation``.

        With ``start="given"`` its weights are where training starts; its clean accuracy counts in
        either case.

        Raises:
            UserError: if the norm cannot be trained against or the checkpoint is of another run.
        """
        held_out = validation.take(_spread(len(validation), self.validation_most))

        attack = Perturb(
            threat=threat,
            bounds=train.bounds,
            steps=self.steps,
            step_size=threat.eps / 3 if self.step_size is None else self.step_size,
            precision=self.precision,
        )
        check = replace(attack, steps=self.validation_steps)

        def loss(module: nn.Module, x: Tensor, y: Tensor, now: training.Moment) -> Tensor:
            grown = now.share / self.ramp if now.share < self.ramp else 1.0
            worst = attack.scaled(grown)(module, x, y, now.generator)
            with autocast(self.precision):
                logits = module(worst)
                natural = module(x) if self.clean_share else None
            value = cross_entropy(logits.float(), y, label_smoothing=self.label_smoothing)
            if natural is None:
                return value
            other = cross_entropy(natural.float(), y, label_smoothing=self.label_smoothing)
            return (1 - self.clean_share) * value + self.clean_share * other

        def measure(module: nn.Module) -> Score:
            # The same noise each time: epochs are compared, not throws of the dice.
            noise = torch.Generator().manual_seed(0)
            robust = accuracy(
                module,
                held_out,
                attack=lambda module, x, y: check(module, x, y, noise),
            )
            return Score(clean=accuracy(module, validation), robust=robust)

        with frozen(module):
            floor = accuracy(module, validation) - self.clean_drop
        return training.train(
            fresh(module, seed=seed) if self.start == "fresh" else module,
            train,
            training.Schedule(
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
            ),
            training.Objective(
                loss=loss,
                measure=measure,
                floor=floor,
                facts={
                    "method": "adversarial",
                    **asdict(self),
                    "threat": str(threat),
                    "validation": validation.digest,
                },
            ),
            seed=seed,
            run=run or Run(),
        )


def _spread(count: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """At most ``most`` indices, evenly spread over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
