"""Accuracy without labels as others estimate it: from the served model's confidence alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Estimator(Protocol):
    """Fitted on confidences and correctness of held-out clean samples."""

    def __call__(self, confidence: NDArray[np.float64], /) -> float:
        """Estimated accuracy over confidences ``(n,)``."""


@dataclass(frozen=True)
class Cbpe:
    """Mean calibrated confidence (confidence-based performance estimation).

    Confidences are calibrated by isotonic regression on the held-out samples.
    """

    at: NDArray[np.float64]
    chance: NDArray[np.float64]

    @classmethod
    def fit(cls, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Self:
        """Pool adjacent violators."""
        order = np.argsort(confidence, kind="stable")
        blocks: list[list[float]] = []
        for value, hit in zip(confidence[order], right[order], strict=True):
            blocks.append([float(hit), 1.0, float(value)])
            while (
                len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]
            ):
                hits, count, top = blocks.pop()
                blocks[-1] = [blocks[-1][0] + hits, blocks[-1][1] + count, top]
        return cls(np.array([b[2] for b in blocks]), np.array([b[0] / b[1] for b in blocks]))

    def __call__(self, confidence: NDArray[np.float64], /) -> float:
        """Estimated accuracy."""
        return float(np.interp(confidence, self.at, self.chance).mean())


def _rate(block: list[float]) -> float:
    return block[0] / block[1]


@dataclass(frozen=True)
class Atc:
    """Share of confidences above a threshold that fits the held-out accuracy (Garg et al. 2022)."""

    threshold: float

    @classmethod
    def fit(cls, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Self:
        """The threshold below which as many lie as are wrong."""
        return cls(float(np.quantile(confidence, 1.0 - right.mean())))

    def __call__(self, confidence: NDArray[np.float64], /) -> float:
        """Estimated accuracy."""
        return float((confidence >= self.threshold).mean())


@dataclass(frozen=True)
class Doc:
    """Held-out accuracy plus the difference of mean confidences (Guillory et al. 2021)."""

    accuracy: float
    confidence: float

    @classmethod
    def fit(cls, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Self:
        """Two means."""
        return cls(float(right.mean()), float(confidence.mean()))

    def __call__(self, confidence: NDArray[np.float64], /) -> float:
        """Estimated accuracy."""
        moved = float(confidence.mean()) - self.confidence
        return float(np.clip(self.accuracy + moved, 0.0, 1.0))
