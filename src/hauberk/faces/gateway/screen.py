"""Screen: how suspect each row is, by the served model, its robust twin and their calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.guard.features import features
from hauberk.guard.twin import TwinDivergence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.guard.calibration import Calibration


@dataclass(frozen=True)
class Suspicion:
    """Per row: the divergence in nats, its p-value on clean traffic, and over benign shifts too."""

    score: NDArray[np.float64]
    p: NDArray[np.float64]
    p_benign: NDArray[np.float64]


@dataclass(frozen=True)
class Screen:
    """The calibrated divergence of one pair of models."""

    calibration: Calibration
    divergence: TwinDivergence = field(default_factory=TwinDivergence)

    def suspicion(self, primary: NDArray[np.float32], twin: NDArray[np.float32]) -> Suspicion:
        """Suspicion of rows from both models' logits ``(batch, classes)``.

        Raises:
            DataError: if the two do not go together.
        """
        score = self.divergence.score(primary, twin)
        p, p_benign = self.calibration.p_values(score)
        return Suspicion(score, p, p_benign)


def drift_features(x: NDArray[np.float32]) -> list[list[float]]:
    """The drift statistics of each row; an input that is no image counts as a vector."""
    rows = x if x.ndim in {2, 4} else x.reshape(len(x), -1)
    found: list[list[float]] = features(rows).tolist()
    return found
