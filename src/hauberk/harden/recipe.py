"""What every way of hardening shares: the frame around a method's attack and loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hauberk.core.digest import digest_bytes, digest_json
from hauberk.core.errors import UserError
from hauberk.harden import training
from hauberk.harden.fresh import fresh
from hauberk.harden.perturb import Perturb, frozen
from hauberk.harden.precision import Precision, autocast
from hauberk.harden.run import Run
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.core.data import Dataset
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a hardening gets: the module to start from, data, and the attacker's budget."""

    module: nn.Module
    train: Dataset
    validation: Dataset
    threat: ThreatModel


@runtime_checkable
class Part(Protocol):
    """What can be joined to any method: it changes the objective, and nothing else."""

    def join(self, objective: training.Objective, given: Given) -> training.Objective:
        """The objective with this part in it."""


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """The frame of a method that trains against a threat.

    ``start`` says whether to draw new weights or to go on from the given ones. Over the first
    ``ramp`` of the batches eps grows from 0: under the full attack new weights may never learn
    anything but the most frequent class. Kept are the weights of the highest accuracy under
    ``validation_steps`` steps of PGD among those that lose at most ``clean_drop`` of the clean
    accuracy that the given module has; at most ``validation_most`` samples are attacked for it.
    ``parts`` are joined to the method in their order.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str]
    lawful: ClassVar[bool] = True
    """Whether what it trains on keeps the constraints of a table."""
    goes_on: ClassVar[bool] = False
    """Whether an attack begins where the last one on the same sample ended."""

    start: Literal["fresh", "given"] = "fresh"
    ramp: float = 0.3
    epochs: int = 40
    learning_rate: float = 2e-3
    batch_size: int = 64
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    clean_drop: float = 0.02
    validation_steps: int = 10
    validation_most: int = 1000
    precision: Precision = "auto"
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if min(self.validation_steps, self.validation_most) < 1:
            raise UserError("validation steps and samples must be at least 1")
        if self.start not in {"fresh", "given"}:
            raise UserError(f"unknown start {self.start!r}", hint="fresh or given")
        if not all(0 <= share < 1 for share in (self.ramp, self.label_smoothing)):
            raise UserError("ramp and label_smoothing must lie in [0, 1)")

    @abstractmethod
    def objective(self, given: Given) -> training.Objective:
        """The method's own attack and loss; how it is measured."""

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
            UserError: if the norm or the table's constraints cannot be trained against, or the
                checkpoint is of another run.
        """
        if threat.features is not None and not self.lawful:
            raise UserError(
                f"{self.name} does not keep the constraints of a table",
                hint="adversarial, atta, trades, mart, fast and n-fgsm do",
            )
        given = Given(module=module, train=train, validation=validation, threat=threat)
        objective = self.objective(given)
        for part in self.parts:
            objective = part.join(objective, given)
        with frozen(module):
            floor = accuracy(module, validation) - self.clean_drop
        known = {"method": self.name, "threat": str(threat), "validation": validation.digest}
        if threat.features is not None:
            known["features"] = threat.features.digest
        return training.train(
            fresh(module, seed=seed) if self.start == "fresh" else module,
            train,
            self.schedule(),
            replace(objective, floor=floor, facts={**known, **facts(self)}),
            seed=seed,
            run=run or Run(),
        )

    def schedule(self, *, measure_every: int = 5) -> training.Schedule:
        """How long and how fast."""
        return training.Schedule(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            measure_every=measure_every,
        )

    def logits(self, module: nn.Module, points: Tensor) -> Tensor:
        """One forward in the recipe's precision; float32 logits ``(n, classes)``."""
        with autocast(self.precision):
            out: Tensor = module(points)
        return out.float()

    def entropy(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy against labels, or against targets ``(n, classes)``."""
        return cross_entropy(logits, y, label_smoothing=self.label_smoothing)

    def grown(self, share: float) -> float:
        """The factor of eps after that share of the batches."""
        return share / self.ramp if share < self.ramp else 1.0

    def inner(self, given: Given, *, steps: int, step_size: float | None) -> Perturb:
        """PGD within the threat; the step is a third of eps if None."""
        return Perturb(
            threat=given.threat,
            bounds=given.train.bounds,
            steps=steps,
            step_size=given.threat.eps / 3 if step_size is None else step_size,
            precision=self.precision,
        )

    def measure(self, given: Given) -> training.Measure:
        """Clean and robust accuracy on the validation data."""
        held_out = given.validation.take(_spread(len(given.validation), self.validation_most))
        check = self.inner(given, steps=self.validation_steps, step_size=None)

        def measure(module: nn.Module) -> Score:
            # The same noise each time: epochs are compared, not throws of the dice.
            noise = torch.Generator().manual_seed(0)
            robust = accuracy(
                module, held_out, attack=lambda module, x, y: check(module, x, y, noise)
            )
            return Score(clean=accuracy(module, given.validation), robust=robust)

        return measure


def facts(recipe: Recipe) -> dict[str, Any]:
    """A recipe's fields as plain values, its parts with theirs."""
    plain = _plain(recipe)
    if recipe.parts:
        plain["parts"] = [{"part": type(part).__name__, **_plain(part)} for part in recipe.parts]
    return plain


def _plain(component: Any) -> dict[str, Any]:
    found = {}
    for one in fields(component):
        value = getattr(component, one.name)
        if isinstance(value, nn.Module):
            tensors = value.state_dict().items()
            value = digest_json(
                {name: digest_bytes(tensor.numpy().tobytes()) for name, tensor in tensors}
            )
        if one.name != "parts":
            found[one.name] = value
    return found


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` indices, evenly spread over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
