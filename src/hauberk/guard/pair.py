"""Calibrating a pair: both models' answers on clean samples and on their benign shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.model import Bounds
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import features
from hauberk.guard.shifts import benign
from hauberk.guard.twin import TwinDivergence

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Answer = Callable[[NDArray[np.float32]], NDArray[np.floating]]

_BATCH = 256


def calibrate(
    primary: Answer,
    twin: Answer,
    x: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    delta: float = 0.05,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    divergence: TwinDivergence = TwinDivergence(),  # noqa: B008 - frozen
) -> Calibration:
    """Calibrate a pair on held-out clean samples ``x`` that neither model was trained on.

    ``primary`` and ``twin`` take inputs ``(n, ...)`` float32 to logits ``(n, classes)``. ``rng``
    draws the noise of the benign shifts.

    Raises:
        DataError: if there are fewer than 20 samples, or a model answers something else.
    """
    served, robust = _logits(primary, x), _logits(twin, x)
    # Neither rows of a table nor images: described, and shifted, as vectors.
    plain = x if x.ndim in (2, 4) else x.reshape(len(x), -1)
    shifted = {}
    for name, moved in benign(plain, rng=rng, bounds=bounds).items():
        again = moved.reshape(x.shape)
        shifted[name] = divergence.score(_logits(primary, again), _logits(twin, again))
    return Calibration.fit(
        divergence.score(served, robust),
        shifted,
        features(plain),
        agreeing=int((served.argmax(axis=1) == robust.argmax(axis=1)).sum()),
        delta=delta,
    )


def _logits(answer: Answer, x: NDArray[np.float32]) -> NDArray[np.floating]:
    return np.concatenate([answer(x[i : i + _BATCH]) for i in range(0, len(x), _BATCH)])
