"""Calibration: from a divergence to p-values that hold for this very calibration set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard import band, packing
from hauberk.guard.features import NAMES
from hauberk.guard.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    With a ``panel`` the scores are its own, else the twin's divergence. ``hedges`` are sensors of
    the panel with thresholds of their own, ``hedged`` ``(hedges, m)``, descending: the highest
    over clean traffic and all families, at the same levels. ``answers`` ``(classes,)`` counts what
    the served model answered to the clean samples. ``gauge`` is the digest of the accuracy gauge
    that was fitted with it, if one was.

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
    panel: Panel | None = None
    hedges: tuple[str, ...] = ()
    hedged: NDArray[np.float64] | None = None
    answers: NDArray[np.float64] | None = None
    gauge: str = ""

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
        self._check_hedges(m)
        if self.answers is not None and (
            self.answers.ndim != 1 or (self.answers < 0).any() or self.answers.sum() != self.n
        ):
            raise DataError(f"answers do not count {self.n} samples", where="calibration")

    def _check_hedges(self, m: int) -> None:
        known = () if self.panel is None else tuple(self.panel.sensors)
        if not set(self.hedges) <= set(known):
            raise DataError("a hedge is no sensor of the panel", where="calibration")
        if not self.hedges:
            return
        shape = (len(self.hedges), m)
        thresholds = self.hedged
        if thresholds is None or thresholds.shape != shape or not np.isfinite(thresholds).all():
            raise DataError(f"hedged is not a finite array {shape}", where="calibration")
        if (np.diff(-thresholds) < 0).any():
            raise DataError("thresholds of a hedge are out of order", where="calibration")

    @classmethod
    def fit(
        cls,
        clean: NDArray[np.floating],
        shifted: Mapping[str, NDArray[np.floating]],
        features: NDArray[np.floating],
        *,
        agreeing: int,
        delta: float = 0.05,
        tests: int = 1,
    ) -> Self:
        """Calibrate on scores ``(n,)`` and features ``(n, 12)`` of clean held-out samples.

        ``shifted`` holds the scores ``(n,)`` of the same samples under each benign shift.
        ``agreeing`` counts the clean samples on which both models give one label. ``tests`` is
        how many scores in all share delta.

        Raises:
            DataError: if an array does not fit, holds NaN, or ``n`` is below 20.
        """
        n = len(clean)
        order = band.ranks(n)
        parts = {"clean": clean, **{f"the family {name!r}": s for name, s in shifted.items()}}
        for where, part in parts.items():
            if part.shape != (n,) or not np.isfinite(part).all():
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
            levels=np.array(band.levels(n, delta / tests)),
            clean=_largest(clean, order),
            shifted=np.stack([_largest(s, order) for s in shifted.values()]) if shifted else empty,
            # Two sides of each feature share one delta.
            feature_levels=np.array(band.levels(n, delta / (2 * len(NAMES)))),
            # Sums in another order must not look like a change of a constant feature.
            feature_low=low - _SLACK * (1 + np.abs(low)),
            feature_high=high + _SLACK * (1 + np.abs(high)),
            feature_median=np.median(ascending, axis=1),
        )

    def with_panel(
        self,
        panel: Panel,
        hedges: Sequence[str],
        readings: Sequence[NDArray[np.float64]],
        answers: NDArray[np.float64],
    ) -> Self:
        """This calibration with the panel whose scores it was fitted on.

        ``readings`` ``(n, width)`` are those of the clean samples and of each family, ``answers``
        as above.
        """
        order = band.ranks(self.n)
        columns = [list(panel.sensors).index(name) for name in hedges]
        hedged = np.array(
            [
                np.max([_largest(part[:, column], order) for part in readings], axis=0)
                for column in columns
            ]
        ).reshape(len(columns), len(order))
        return replace(self, panel=panel, hedges=tuple(hedges), hedged=hedged, answers=answers)

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

    def p_hedges(self, readings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Benign p-values ``(n, hedges)`` of the hedges, of readings ``(n, width)``."""
        out = np.empty((len(readings), len(self.hedges)))
        for number, column in enumerate(self._columns):
            rank = np.searchsorted(self._hedges_rising[number], readings[:, column])
            out[:, number] = self._steps[len(self.levels) - rank]
        return out

    @cached_property
    def _columns(self) -> tuple[int, ...]:
        sensors = () if self.panel is None else tuple(self.panel.sensors)
        return tuple(sensors.index(name) for name in self.hedges)

    @cached_property
    def _hedges_rising(self) -> NDArray[np.float64]:
        empty: NDArray[np.float64] = np.empty((0, len(self.levels)))
        return empty if self.hedged is None else np.ascontiguousarray(self.hedged[:, ::-1])

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
        facts: dict[str, Any] = {
            "version": 1,
            "n": self.n,
            "delta": self.delta,
            "families": list(self.families),
            "agreeing": self.agreeing,
            "features": list(NAMES),
        }
        arrays = {key: getattr(self, key) for key in _KEYS}
        if self.panel is not None:
            hedged = np.empty((0, len(self.levels))) if self.hedged is None else self.hedged
            facts |= {"version": 2, "panel": self.panel.facts(), "hedges": list(self.hedges)}
            facts |= {"gauge": self.gauge}
            answers = np.zeros(0) if self.answers is None else self.answers
            arrays |= {"hedged": hedged, "answers": answers, **self.panel.arrays()}
        return packing.pack(facts, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            DataError: if the bytes are too many, malformed, or of other features or version.
        """
        facts, arrays = packing.unpack(
            data, _KEYS, more=("hedged", "answers", "sensor/", "fusion/")
        )
        match facts:
            case {
                "version": 1 | 2,
                "n": int(n),
                "delta": float(delta),
                "families": list(families),
                "agreeing": int(agreeing),
                "features": list(features),
                **rest,
            }:
                pass
            case _:
                raise DataError("not a calibration of version 1 or 2", where="calibration")
        if features != list(NAMES) or not all(isinstance(name, str) for name in families):
            raise DataError(
                "made for other input statistics", where="calibration", hint="calibrate again"
            )
        parts: dict[str, Any] = {key: arrays.pop(key) for key in _KEYS}
        if facts["version"] == 2:
            parts |= _read_panel(rest, arrays)
        elif rest or arrays:
            raise DataError("more parts than version 1 has", where="calibration")
        return cls(n=n, delta=delta, families=tuple(families), agreeing=agreeing, **parts)


def _read_panel(facts: Mapping[str, Any], arrays: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    match facts:
        case {
            "panel": {"sensors": list()} as panel,
            "hedges": list(hedges),
            "gauge": str(gauge),
        } if len(facts) == 3:
            pass
        case _:
            raise DataError("the panel is malformed", where="calibration")
    hedged, answers = arrays.pop("hedged", None), arrays.pop("answers", None)
    if not all(isinstance(name, str) for name in hedges):
        raise DataError("a hedge has no name", where="calibration")
    return {
        "panel": Panel.of(panel, arrays),
        "hedges": tuple(hedges),
        "hedged": hedged,
        "gauge": gauge,
        "answers": answers if answers is not None and answers.size else None,
    }


def _largest(scores: NDArray[np.floating], order: NDArray[np.int64]) -> NDArray[np.float64]:
    descending: NDArray[np.float64] = np.sort(scores.astype(np.float64))[::-1]
    return descending[order - 1]
