"""Screen: how suspect each row is, by the served model, its robust twin and their calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hauberk.guard.features import features
from hauberk.guard.sensor import View
from hauberk.guard.twin import TwinDivergence

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hauberk.guard.calibration import Calibration


@dataclass(frozen=True)
class Suspicion:
    """Per row: the score, its p-value on clean traffic and over benign shifts too, the hedges'."""

    score: NDArray[np.float64]
    p: NDArray[np.float64]
    p_benign: NDArray[np.float64]
    p_hedges: NDArray[np.float64]


@dataclass(frozen=True)
class Screen:
    """The calibrated sensors of one pair of models."""

    calibration: Calibration
    divergence: TwinDivergence = field(default_factory=TwinDivergence)

    def suspicion(
        self,
        primary: NDArray[np.float32],
        twin: NDArray[np.float32],
        x: NDArray[np.float32] | None = None,
        ask: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    ) -> Suspicion:
        """Suspicion of rows ``x`` from both models' logits ``(batch, classes)``.

        ``ask`` runs the primary once more, for the sensors that need it. Without a panel the
        divergence of the two is the score, and ``x`` is not looked at.

        Raises:
            DataError: if the two do not go together, or a sensor cannot read the rows.
        """
        panel = self.calibration.panel
        if panel is None or x is None:
            score = self.divergence.score(primary, twin)
            hedges = np.empty((len(score), 0))
        else:
            readings = panel.readings(View(x=x, primary=primary, twin=twin, ask=ask))
            score = panel.score(readings)
            hedges = self.calibration.p_hedges(readings)
        p, p_benign = self.calibration.p_values(score)
        return Suspicion(score, p, p_benign, hedges)


def drift_features(x: NDArray[np.float32]) -> list[list[float]]:
    """The drift statistics of each row; an input that is no image counts as a vector."""
    rows = x if x.ndim in {2, 4} else x.reshape(len(x), -1)
    found: list[list[float]] = features(rows).tolist()
    return found
