"""Ordinary training, without an attacker: where every hardening starts, and what it is held to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from hauberk.core.threat import ThreatModel
from hauberk.harden import training
from hauberk.harden.fresh import fresh
from hauberk.harden.recipe import Given, Recipe, facts
from hauberk.harden.run import Run
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.core.data import Dataset
    from hauberk.harden.moment import Moment


@dataclass(frozen=True, kw_only=True)
class Clean(Recipe):
    """Minimise the mean cross-entropy on the data as it is."""

    name: ClassVar[str] = "clean"

    start: Literal["fresh", "given"] = "given"
    epochs: int = 15

    def objective(self, given: Given) -> training.Objective:
        def loss(module: nn.Module, x: Tensor, y: Tensor, _: Moment) -> Tensor:
            return self.entropy(self.logits(module, x), y)

        return training.Objective(loss=loss, measure=self.measure(given))

    def measure(self, given: Given) -> training.Measure:
        return lambda module: Score(clean=accuracy(module, given.validation))

    def fit(
        self,
        module: nn.Module,
        train: Dataset,
        validation: Dataset,
        threat: ThreatModel | None = None,
        *,
        seed: int,
        run: Run | None = None,
    ) -> nn.Module:
        """A trained copy of ``module``, the best on ``validation``.

        ``threat`` is not considered, but every way of training is called alike.

        Raises:
            UserError: if a number is out of range or the checkpoint belongs to another run.
        """
        given = Given(
            module=module, train=train, validation=validation, threat=threat or ThreatModel()
        )
        objective = self.objective(given)
        for part in self.parts:
            objective = part.join(objective, given)
        known = {"method": self.name, "validation": validation.digest, **facts(self)}
        return training.train(
            fresh(module, seed=seed) if self.start == "fresh" else module,
            train,
            self.schedule(measure_every=1),
            replace(objective, facts=known),
            seed=seed,
            run=run or Run(),
        )
