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
_COVERED = 0.9


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
    reach = _reach(miss, drawn.family)
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
        below=reach,
        above=reach,
        blind=blind,
    )


def _reach(miss: NDArray[np.float64], family: NDArray[np.str_]) -> float:
    """How far from the estimate the truth of a family never seen lies, for nine windows in ten.

    What comes next is another family, so families count, not windows: each weighs the same, and one
    more lies beyond all (hierarchical conformal prediction, Lee, Barber and Willett 2023). Of eight
    families or fewer it is the farthest miss.
    """
    far = np.abs(miss)
    names, of = np.unique(family, return_inverse=True)
    weight = 1.0 / np.bincount(of)[of] / (len(names) + 1)
    order = np.argsort(far)
    reached = np.cumsum(weight[order]) >= _COVERED - 1e-9
    return float(far[order][np.argmax(reached)] if reached.any() else far.max())


def _trees(x: NDArray[np.float64], y: NDArray[np.float64], seed: int) -> Trees:
    model = GradientBoostingRegressor(
        n_estimators=120, max_depth=3, learning_rate=0.08, subsample=0.7, random_state=seed
    )
    return Trees.of(model.fit(x.astype(np.float32), y))
