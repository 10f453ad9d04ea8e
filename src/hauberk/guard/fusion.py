"""Fusion: weak sensors weighed together, as simulated attacks and benign shifts told them apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_REACH = 4.0
_RIDGE = 1.0
_STEPS, _ROUNDS = 25, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Fusion:
    """Log-odds that is quadratic in ``k`` readings: squares and products of all pairs.

    A reading is ``(value - centre) / scale``, bent so that none goes beyond 4. ``weights`` are of
    the readings, then of the products in the order of ``numpy.triu_indices``, then a constant.
    Products matter: noise alone is benign, and so is a doubtful answer; both together are not.

    Raises:
        DataError: if the parts do not fit each other.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        k = len(self.centre)
        if self.scale.shape != (k,) or self.weights.shape != (k + k * (k + 1) // 2 + 1,):
            raise DataError("weights do not fit the readings", where="fusion")
        if not (self.scale > 0).all() or not np.isfinite(self.weights).all():
            raise DataError("scales and weights must be finite, scales positive", where="fusion")

    @classmethod
    def fit(
        cls, benign: Sequence[NDArray[np.float64]], hostile: Sequence[NDArray[np.float64]]
    ) -> Self:
        """Learn from readings ``(n, k)`` of each benign family and of each kind of attack.

        A ridge logistic regression by Newton's method. Every kind of attack weighs the same. The
        benign families are weighed anew after each round, most where the score still takes them
        for attacks, since a test must hold for the worst of them.

        Raises:
            DataError: if there is no family or no attack.
        """
        if not benign or not hostile:
            raise DataError("needs a benign family and an attack", where="fusion")
        middle = np.concatenate(benign)
        centre = np.median(middle, axis=0)
        scale = np.subtract(*np.percentile(middle, [84, 16], axis=0)) / 2
        scale = np.maximum(scale, 1e-3 * (1 + np.abs(centre)))
        parts = [*benign, *hostile]
        k = len(centre)
        draft = cls(centre=centre, scale=scale, weights=np.zeros(k + k * (k + 1) // 2 + 1))
        x = draft._terms(np.concatenate(parts))
        y = np.concatenate([np.full(len(p), float(i >= len(benign))) for i, p in enumerate(parts)])
        of = np.concatenate([np.full(len(p), i) for i, p in enumerate(parts)])
        shares = np.full(len(benign), 1.0 / len(benign))
        weights = draft.weights
        for _ in range(_ROUNDS):
            each = np.concatenate((shares, np.full(len(hostile), 1.0 / len(hostile))))
            heavy = each[of] / np.bincount(of)[of] * len(x) / 2
            weights = _newton(x, y, heavy, weights)
            tops = np.array([np.quantile(x[of == i] @ weights, 0.95) for i in range(len(benign))])
            shares = shares * np.exp(0.5 * (tops - tops.max()))
            shares /= shares.sum()
        return cls(centre=centre, scale=scale, weights=weights)

    def score(self, readings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds ``(n,)`` of readings ``(n, k)``."""
        out: NDArray[np.float64] = self._terms(readings) @ self.weights
        return out

    def surrogate(self, readings: Any) -> Any:
        """The same on a tensor ``(n, k)``."""
        z = (readings - readings.new_tensor(self.centre)) / readings.new_tensor(self.scale)
        z = _REACH * (z / _REACH).tanh()
        first, second = self._pairs
        k = len(self.centre)
        linear, quadratic, constant = np.split(self.weights, [k, len(self.weights) - 1])
        return (
            z @ readings.new_tensor(linear)
            + (z[:, first] * z[:, second]) @ readings.new_tensor(quadratic)
            + float(constant[0])
        )

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first, second = np.triu_indices(len(self.centre))
        return first.astype(np.int64), second.astype(np.int64)

    def _terms(self, readings: NDArray[np.float64]) -> NDArray[np.float64]:
        z = _REACH * np.tanh((readings - self.centre) / (self.scale * _REACH))
        first, second = self._pairs
        return np.concatenate((z, z[:, first] * z[:, second], np.ones((len(z), 1))), axis=1)


def _newton(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    heavy: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Minimise weighted log-loss plus ridge; the constant, the last weight, goes free."""
    ridge = np.full(x.shape[1], _RIDGE)
    ridge[-1] = 1e-6
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (heavy * (chance - y)) + ridge * weights
        bend = (x * (heavy * chance * (1 - chance))[:, None]).T @ x
        bend[np.diag_indices_from(bend)] += ridge
        step = np.linalg.solve(bend, slope)
        size = min(1.0, 10.0 / (np.abs(step).max() + 1e-12))
        weights = weights - size * step
        if np.abs(step).max() < 1e-4:
            break
    return weights
