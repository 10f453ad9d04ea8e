"""Hardening of what gives no gradients: train again on the rows that evade it.

Kantchelian et al. 2016, "Evasion and hardening of tree ensemble classifiers", section 5: trees of
any library learn from evading rows as from others, so none of them needs to know of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.task import Classification
from hauberk.harden.selection import Score

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.threat import ThreatModel

_TASK = Classification()


@dataclass(frozen=True, kw_only=True)
class Evading:
    """``rounds`` times: attack ``rows`` of the training data, add what is found, train again.

    The attack asks for scores or labels alone and keeps the constraints of the threat. Rows that
    still stand are added too, as the worst that was seen of them. Kept is the model of the highest
    accuracy under attack on validation data, among those that lose at most ``clean_drop`` of clean
    accuracy; the first, trained on the data alone, is among them.

    Raises:
        UserError: if a number is out of range.
    """

    attack: Attack = field(default_factory=lambda: Square(queries=50))
    rounds: int = 4
    rows: int = 2000
    clean_drop: float = 0.02
    validation_most: int = 500

    def __post_init__(self) -> None:
        if min(self.rounds, self.rows, self.validation_most) < 1:
            raise UserError("rounds, rows and validation samples must be at least 1")
        if not 0 <= self.clean_drop < 1:
            raise UserError("clean_drop must lie in [0, 1)")

    def fit(
        self,
        learn: Callable[[NDArray[np.float32], NDArray[np.int64]], Model],
        train: Dataset,
        validation: Dataset,
        threat: ThreatModel,
        *,
        seed: int,
    ) -> Model:
        """The best of the models that ``learn`` makes of rows ``(n, columns)`` and labels ``(n,)``.

        ``learn`` is called once for each round, and once before.
        """
        rng = np.random.default_rng(seed)
        held = validation.take(_some(len(validation), self.validation_most))
        x, y = train.x, train.y
        best = model = learn(x, y)
        score = self._score(model, validation, held, threat)
        floor = score.clean - self.clean_drop
        for _ in range(self.rounds):
            chosen = rng.permutation(len(train))[: self.rows].astype(np.int64)
            x = np.concatenate([x, self._worst(model, train, chosen, threat, rng)])
            y = np.concatenate([y, train.y[chosen]])
            model = learn(x, y)
            now = self._score(model, validation, held, threat)
            if now.beats(score, floor):
                best, score = model, now
        return best

    def _worst(
        self,
        model: Model,
        data: Dataset,
        rows: NDArray[np.int64],
        threat: ThreatModel,
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        batch = Batch(
            x=torch.from_numpy(data.x[rows]), y=torch.from_numpy(data.y[rows]), index=rows
        )
        points = self.attack(model, batch, threat, task=_TASK, rng=rng)
        found: NDArray[np.float32] = points.numpy()
        return found

    def _score(self, model: Model, whole: Dataset, held: Dataset, threat: ThreatModel) -> Score:
        # The same noise each time: rounds are compared, not throws of the dice.
        rng = np.random.default_rng(0)
        points = self._worst(model, held, np.arange(len(held)), threat, rng)
        return Score(clean=_right(model, whole.x, whole.y), robust=_right(model, points, held.y))


def _right(model: Model, x: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    right = _TASK.correct(model(torch.from_numpy(x)), torch.from_numpy(y))
    return float(right.float().mean())


def _some(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` indices, evenly spread over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
