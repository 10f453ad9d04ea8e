"""Signals: what a window of requests shows of the accuracy that no one has measured yet."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Self

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard.features import NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hauberk.core.record import Record
    from hauberk.guard.calibration import Calibration

_ANSWERS = (
    "agreement",
    "confidence",
    "doubt",
    "score",
    "score, top",
    "suspect",
    "unusual",
    "divergent",
)
SIGNALS = (*_ANSWERS, *(f"{name}, moved" for name in NAMES), *(f"{name}, wider" for name in NAMES))
"""Order of the signals."""

_SMALL = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """``n`` requests: what both models said, what the sensors read, what the inputs are like.

    ``agrees`` whether both models gave one label, ``confidence`` of the served model, ``score``,
    ``p``, ``p_benign`` and ``p_twin`` of the calibration, all ``(n,)``; ``features`` ``(n, 12)``.
    """

    agrees: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    score: NDArray[np.float64]
    p: NDArray[np.float64]
    p_benign: NDArray[np.float64]
    p_twin: NDArray[np.float64]
    features: NDArray[np.float64]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """The window of records that have everything; see :func:`complete`."""
        return cls(
            agrees=np.array([r.label == r.twin_label for r in records]),
            confidence=np.array([r.confidence for r in records], dtype=np.float64),
            score=np.array([r.score for r in records], dtype=np.float64),
            p=np.array([r.p_value for r in records], dtype=np.float64),
            p_benign=np.array([r.p_benign for r in records], dtype=np.float64),
            p_twin=np.array([r.p_hedges[0] if r.p_hedges else r.p_benign for r in records]),
            features=np.fromiter(
                chain.from_iterable(r.features for r in records), np.float64
            ).reshape(len(records), -1),
        )

    def take(self, rows: NDArray[np.int64]) -> Window:
        """The requests at ``rows``."""
        return Window(**{key: value[rows] for key, value in vars(self).items()})


def complete(record: Record) -> bool:
    """Whether a record has all that the signals are made of."""
    known = (record.twin_label, record.confidence, record.score, record.p_value, record.p_benign)
    return None not in known and len(record.features) == len(NAMES)


def signals(window: Window, calibration: Calibration) -> NDArray[np.float64]:
    """Signals ``(32,)`` in the order of ``SIGNALS``.

    Raises:
        DataError: if the window is empty.
    """
    if len(window.score) == 0:
        raise DataError("no requests to read", where="signals")
    middle = calibration.feature_median
    high, low = calibration.feature_high, calibration.feature_low
    half = high.shape[1] // 2
    width = np.maximum(high[:, half] - low[:, half], 1e-3 * (1 + np.abs(middle)))
    moved = (_middle(window.features) - middle) / width
    wider = np.log1p(window.features.std(axis=0) / width)
    confidence, score = np.sort(window.confidence), np.sort(window.score)
    answers = [
        window.agrees.mean(),
        window.confidence.mean(),
        _quantile(confidence, 0.1),
        _quantile(score, 0.5),
        _quantile(score, 0.9),
        (window.p_benign <= _SMALL).mean(),
        (window.p <= _SMALL).mean(),
        (window.p_twin <= _SMALL).mean(),
    ]
    return np.concatenate((answers, np.clip(moved, -20, 20), wider))


def _quantile(rising: NDArray[np.float64], q: float) -> float:
    """By linear interpolation, as ``np.quantile`` has it, which takes ten times as long here."""
    place = q * (len(rising) - 1)
    below = int(place)
    above = min(below + 1, len(rising) - 1)
    return float(rising[below] + (rising[above] - rising[below]) * (place - below))


def _middle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each column."""
    half, odd = divmod(len(x), 2)
    parted = np.partition(x, half if odd else (half - 1, half), axis=0)
    out: NDArray[np.float64] = parted[half] if odd else (parted[half - 1] + parted[half]) / 2
    return out
