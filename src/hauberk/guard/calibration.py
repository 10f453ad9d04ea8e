"""Calibration: from a divergence to p-values that hold for this very calibration set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard import band, packing
from hauberk.guard.features import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_KEYS = (
    "levels",
    "clean",
    "shifted",
    "feature_levels",
    "feature_low",
    "feature_high",
    "feature_median",
)
_SLACK = 1e-5
_MOST = 10**9


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Thresholds of one pair of models, from ``n`` clean samples and their benign shifts.

    ``levels`` ``(m,)`` ascending bound the tail beyond each threshold. ``clean`` ``(m,)`` and
    ``shifted`` ``(families, m)`` are scores, descending. ``feature_levels``, ``feature_high``
    (descending) and ``feature_low`` (ascending), both ``(12, m)``, do the same for the input
    statistics, and ``feature_median`` ``(12,)`` is their middle. ``agreeing`` of ``n`` clean
    samples got one label from both models. The bounds hold with probability ``1 - delta`` over the
    draw of the samples: for clean traffic, for each single family, and for all features together.

    Raises:
        DataError: if the parts do not fit each other.
    """

    n: int
    delta: float
    families: tuple[str, ...]
    agreeing: int
    levels: NDArray[np.float64]
    clean: NDArray[np.float64]
    shifted: NDArray[np.float64]
    feature_levels: NDArray[np.float64]
    feature_low: NDArray[np.float64]
    feature_high: NDArray[np.float64]
    feature_median: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.n > _MOST:
            raise DataError(f"more than {_MOST} samples", where="calibration")
        m, k = len(band.ranks(self.n)), len(NAMES)
        shapes = ((m,), (m,), (len(self.families), m), (m,), (k, m), (k, m), (k,))
        for key, shape in zip(_KEYS, shapes, strict=True):
            array = getattr(self, key)
            if array.shape != shape or not np.isfinite(array).all():
                raise DataError(f"{key} is not a finite array {shape}", where="calibration")
        rising = (self.levels, self.feature_levels, -self.clean, -self.shifted)
        if any((np.diff(a) < 0).any() for a in (*rising, self.feature_low, -self.feature_high)):
            raise DataError("levels or thresholds are out of order", where="calibration")
        bounds = np.concatenate((self.levels, self.feature_levels))
        if bounds.min() <= 0 or bounds.max() > 1 or not 0 < self.delta < 1:
            raise DataError("levels and delta must be probabilities", where="calibration")
        if not 0 <= self.agreeing <= self.n:
            raise DataError(f"{self.agreeing} of {self.n} samples agree", where="calibration")

    @classmethod
    def fit(
        cls,
        clean: NDArray[np.floating],
        shifted: Mapping[str, NDArray[np.floating]],
        features: NDArray[np.floating],
        *,
        agreeing: int,
        delta: float = 0.05,
    ) -> Self:
        """Calibrate on scores ``(n,)`` and features ``(n, 12)`` of clean held-out samples.

        ``shifted`` holds the scores ``(n,)`` of the same samples under each benign shift.
        ``agreeing`` counts the clean samples on which both models give one label.

        Raises:
            DataError: if an array does not fit, holds NaN, or ``n`` is below 20.
        """
        n = len(clean)
        order = band.ranks(n)
        parts = {"clean": clean, **{f"the family {name!r}": s for name, s in shifted.items()}}
        for where, scores in parts.items():
            if scores.shape != (n,) or not np.isfinite(scores).all():
                raise DataError(
                    f"scores of {where} are not {n} finite numbers", where="calibration"
                )
        if features.shape != (n, len(NAMES)) or not np.isfinite(features).all():
            raise DataError(f"features are not finite ({n}, {len(NAMES)})", where="calibration")
        ascending = np.sort(features.astype(np.float64), axis=0).T
        low, high = ascending[:, order - 1], ascending[:, n - order]
        empty = np.empty((0, len(order)))
        return cls(
            n=n,
            delta=delta,
            families=tuple(shifted),
            agreeing=agreeing,
            levels=np.array(band.levels(n, delta)),
            clean=_largest(clean, order),
            shifted=np.stack([_largest(s, order) for s in shifted.values()]) if shifted else empty,
            # Two sides of each feature share one delta.
            feature_levels=np.array(band.levels(n, delta / (2 * len(NAMES)))),
            # Sums in another order must not look like a change of a constant feature.
            feature_low=low - _SLACK * (1 + np.abs(low)),
            feature_high=high + _SLACK * (1 + np.abs(high)),
            feature_median=np.median(ascending, axis=1),
        )

    @property
    def agreement(self) -> float:
        """Share of clean calibration samples on which the pair agrees."""
        return self.agreeing / self.n

    def p_values(
        self, scores: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Conditional p-values ``(n,)`` of scores ``(n,)``: under clean traffic, and benign.

        The second is the largest one over clean traffic and every benign family: it is small only
        where none of them explains the score. Both take the values of ``levels`` and 1.

        Raises:
            DataError: if a score is NaN.
        """
        if np.isnan(scores).any():
            raise DataError("a score is NaN", where="calibration")
        below = len(self.levels)
        clean = self._steps[below - np.searchsorted(self._clean_rising, scores)]
        benign = self._steps[below - np.searchsorted(self._benign_rising, scores)]
        return clean, benign

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        return np.append(self.levels, 1.0)

    @cached_property
    def _clean_rising(self) -> NDArray[np.float64]:
        return np.ascontiguousarray(self.clean[::-1])

    @cached_property
    def _benign_rising(self) -> NDArray[np.float64]:
        """Each family has the same levels, so the largest p-value has the largest thresholds."""
        highest: NDArray[np.float64] = np.vstack((self.clean, self.shifted)).max(axis=0)
        return np.ascontiguousarray(highest[::-1])

    def to_bytes(self) -> bytes:
        """An npz without pickles; the same calibration gives the same bytes."""
        facts = {
            "version": 1,
            "n": self.n,
            "delta": self.delta,
            "families": list(self.families),
            "agreeing": self.agreeing,
            "features": list(NAMES),
        }
        return packing.pack(facts, {key: getattr(self, key) for key in _KEYS})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            DataError: if the bytes are too many, malformed, or of other features or version.
        """
        facts, arrays = packing.unpack(data, _KEYS)
        match facts:
            case {
                "version": 1,
                "n": int(n),
                "delta": float(delta),
                "families": list(families),
                "agreeing": int(agreeing),
                "features": list(features),
            } if len(facts) == 6:
                pass
            case _:
                raise DataError("not a calibration of version 1", where="calibration")
        if features != list(NAMES) or not all(isinstance(name, str) for name in families):
            raise DataError(
                "made for other input statistics", where="calibration", hint="calibrate again"
            )
        return cls(n=n, delta=delta, families=tuple(families), agreeing=agreeing, **arrays)


def _largest(scores: NDArray[np.floating], order: NDArray[np.int64]) -> NDArray[np.float64]:
    descending: NDArray[np.float64] = np.sort(scores.astype(np.float64))[::-1]
    return descending[order - 1]
