"""Boosted trees as plain arrays: read without a pickle, evaluated without the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST, _DEEPEST = 200_000, 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """``start`` plus ``rate`` times the leaf of each tree (Friedman 2001).

    Node i of all trees in a row: ``feature`` (-2 at a leaf), ``threshold`` (go left where the value
    is at most it), ``left`` and ``right`` as places in the row, ``value``. ``roots`` are the places
    where trees begin.

    Raises:
        DataError: if the arrays are no trees: a child out of place, or before its parent.
    """

    start: float
    rate: float
    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.feature)
        rows = (self.threshold, self.left, self.right, self.value)
        if not 0 < n <= _LARGEST or any(len(row) != n for row in rows):
            raise DataError("nodes do not fit each other", where="trees")
        inner = np.flatnonzero(self.feature >= 0)
        for child in (self.left[inner], self.right[inner]):
            if (child <= inner).any() or (child >= n).any():  # so every walk ends
                raise DataError("a child lies before its parent", where="trees")
        if (self.roots < 0).any() or (self.roots >= n).any() or self.feature.max() > 10_000:
            raise DataError("a tree begins nowhere", where="trees")
        if not np.isfinite(self.value).all() or not np.isfinite([self.start, self.rate]).all():
            raise DataError("a leaf is not finite", where="trees")

    @classmethod
    def of(cls, fitted: Any) -> Trees:
        """The trees of a fitted ``sklearn.ensemble.GradientBoostingRegressor``."""
        rows: dict[str, list[Any]] = {
            key: [] for key in ("feature", "threshold", "left", "right", "value")
        }
        roots, at = [], 0
        for (tree,) in fitted.estimators_:
            inner = tree.tree_
            leaf = inner.children_left < 0
            roots.append(at)
            rows["feature"].append(np.where(leaf, -2, inner.feature))
            rows["threshold"].append(inner.threshold)
            rows["left"].append(np.where(leaf, 0, inner.children_left + at))
            rows["right"].append(np.where(leaf, 0, inner.children_right + at))
            rows["value"].append(inner.value.ravel())
            at += inner.node_count
        joined = {key: np.concatenate(parts) for key, parts in rows.items()}
        start = float(fitted.init_.constant_.ravel()[0])
        return cls(start=start, rate=fitted.learning_rate, roots=np.array(roots), **joined)

    def __call__(self, x: NDArray[np.float64]) -> float:
        """Prediction for one row ``(features,)``.

        Raises:
            DataError: if the row is too short for the trees.
        """
        if self.feature.max() >= len(x):
            raise DataError(f"{len(x)} signals are too few", where="trees")
        values = x.astype(np.float32)  # as the library compares
        places = self.roots.copy()
        for _ in range(_DEEPEST):
            feature = self.feature[places]
            inner = feature >= 0
            if not inner.any():
                break
            goes_left = values[np.maximum(feature, 0)] <= self.threshold[places]
            places = np.where(
                inner, np.where(goes_left, self.left[places], self.right[places]), places
            )
        return self.start + self.rate * float(self.value[places].sum())

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """All of it as arrays of doubles."""
        out = {
            key: np.asarray(getattr(self, key), dtype=np.float64)
            for key in ("roots", "feature", "threshold", "left", "right", "value")
        }
        return {**out, "scalars": np.array([self.start, self.rate])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.float64]]) -> Trees:
        """The trees of :meth:`arrays`.

        Raises:
            DataError: if they are no trees.
        """
        try:
            whole = {k: arrays[k].astype(np.int64) for k in ("roots", "feature", "left", "right")}
            start, rate = arrays["scalars"].tolist()
            return cls(
                start=start,
                rate=rate,
                threshold=arrays["threshold"],
                value=arrays["value"],
                **whole,
            )
        except (KeyError, ValueError) as error:
            raise DataError(f"not trees: {error}", where="trees") from None
