"""Gauging: fit the label-free accuracy gauge on simulated shifts and attacks, and test it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor

from hauberk.core.errors import DataError
from hauberk.guard.boosting import Trees
from hauberk.guard.gauge import Gauge
from hauberk.guard.signals import signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hauberk.guard.calibration import Calibration
    from hauberk.guard.signals import Window

_BLIND = 0.1
_COVERED = 0.05, 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Traffic:
    """Simulated requests of one kind, and whether the served model was right on each, ``(n,)``.

    Kinds of one ``family`` are left out together when the gauge is tested.
    """

    family: str
    window: Window
    right: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Windows drawn from kinds of traffic: signals ``(m, 32)``, accuracy and family, ``(m,)``."""

    signals: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    family: NDArray[np.str_]


def draw(
    clean: Traffic,
    kinds: Mapping[str, Traffic],
    calibration: Calibration,
    *,
    window: int,
    each: int,
    rng: np.random.Generator,
) -> Drawn:
    """``each`` windows of every kind, mixed with clean traffic in shares from all to one in ten."""
    rows, truth, families = [], [], []
    for traffic in (clean, *kinds.values()):
        for number in range(each):
            share = 1.0 if number % 2 == 0 else float(rng.uniform(0.1, 1.0))
            count = window if traffic is clean else round(share * window)
            hostile = rng.integers(len(traffic.right), size=count)
            plain = rng.integers(len(clean.right), size=window - count)
            parts = (traffic.window.take(hostile), clean.window.take(plain))
            both = {k: np.concatenate([vars(part)[k] for part in parts]) for k in vars(parts[0])}
            rows.append(signals(type(parts[0])(**both), calibration))
            right = np.concatenate((traffic.right[hostile], clean.right[plain]))
            truth.append(right.mean())
            families.append(traffic.family)
    return Drawn(
        signals=np.array(rows), accuracy=np.array(truth), family=np.array(families, dtype=np.str_)
    )


def fit(drawn: Drawn, *, window: int, seed: int = 0) -> Gauge:
    """Fit on all, after the errors were measured on each family left out in turn.

    Raises:
        DataError: if there are fewer than three families.
    """
    families = np.unique(drawn.family)
    if len(families) < 3:
        raise DataError("a gauge needs three families of traffic", where="gauge")
    left_out = np.empty(len(drawn.accuracy))
    for family in families:
        out = drawn.family == family
        trees = _trees(drawn.signals[~out], drawn.accuracy[~out], seed)
        left_out[out] = [np.clip(trees(row), 0.0, 1.0) for row in drawn.signals[out]]
    miss = drawn.accuracy - left_out
    low, high = np.quantile(miss, _COVERED)
    blind = {}
    for family in families:
        out = drawn.family == family
        if np.abs(miss[out]).mean() > _BLIND:
            blind[str(family)] = (
                float(drawn.accuracy[out].mean()),
                float(left_out[out].mean()),
            )
    return Gauge(
        trees=_trees(drawn.signals, drawn.accuracy, seed),
        window=window,
        error=float(np.abs(miss).mean()),
        below=float(max(-low, 0.0)),
        above=float(max(high, 0.0)),
        blind=blind,
    )


def _trees(x: NDArray[np.float64], y: NDArray[np.float64], seed: int) -> Trees:
    model = GradientBoostingRegressor(
        n_estimators=120, max_depth=3, learning_rate=0.08, subsample=0.7, random_state=seed
    )
    return Trees.of(model.fit(x.astype(np.float32), y))
