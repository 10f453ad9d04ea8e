"""Ordinary training, without an attacker: where every hardening starts, and what it is held to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from torch.nn.functional import cross_entropy

from hauberk.harden import training
from hauberk.harden.precision import Precision, autocast
from hauberk.harden.run import Run
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.core.data import Dataset
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Clean:
    """Minimise the mean cross-entropy on the data as it is."""

    epochs: int = 15
    learning_rate: float = 2e-3
    batch_size: int = 64
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    precision: Precision = "auto"

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

        def loss(module: nn.Module, x: Tensor, y: Tensor, _: training.Moment) -> Tensor:
            with autocast(self.precision):
                logits = module(x)
            return cross_entropy(logits.float(), y, label_smoothing=self.label_smoothing)

        return training.train(
            module,
            train,
            training.Schedule(
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                measure_every=1,
            ),
            training.Objective(
                loss=loss,
                measure=lambda module: Score(clean=accuracy(module, validation)),
                floor=0.0,
                facts={"method": "clean", **asdict(self), "validation": validation.digest},
            ),
            seed=seed,
            run=run or Run(),
        )
