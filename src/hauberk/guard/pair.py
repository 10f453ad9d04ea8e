"""Calibrating a pair: both models' answers on clean samples and on their benign shifts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.model import Bounds
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import features
from hauberk.guard.panel import HEDGES, SENSORS, Panel
from hauberk.guard.sensor import View
from hauberk.guard.shifts import benign
from hauberk.guard.twin import TwinDivergence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Answer = Callable[[NDArray[np.float32]], NDArray[np.floating]]

_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Drill:
    """What a panel learns from: clean samples ``x`` ``(n, ...)`` and attacked ones by attack.

    ``hostile`` ones fool the model, ``harmless`` ones do not and count as benign. ``attempts`` are
    failed attacks on the very samples that are calibrated on, ``(n, ...)`` each: further families.
    They must lie apart from those that are calibrated on.
    """

    x: NDArray[np.float32]
    hostile: Mapping[str, NDArray[np.float32]]
    harmless: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    attempts: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    sensors: tuple[str, ...] = SENSORS
    hedges: tuple[str, ...] = HEDGES


def calibrate(
    primary: Answer,
    twin: Answer,
    x: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    delta: float = 0.05,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    divergence: TwinDivergence = TwinDivergence(),  # noqa: B008 - frozen
    drill: Drill | None = None,
) -> Calibration:
    """Calibrate a pair on held-out clean samples ``x`` that neither model was trained on.

    ``primary`` and ``twin`` take inputs ``(n, ...)`` float32 to logits ``(n, classes)``. ``rng``
    draws the noise of the benign shifts. With a ``drill`` a panel of sensors is fitted on it first
    and its score is calibrated; without, the twin's ``divergence`` is.

    Raises:
        DataError: if there are fewer than 20 samples, or a model answers something else.
    """
    families = {"": x, **_shifted(x, rng=rng, bounds=bounds)}
    if drill is not None:
        families |= drill.attempts
    views = {name: look(primary, twin, moved) for name, moved in families.items()}
    clean = views[""]
    agreeing = int((clean.primary.argmax(axis=1) == clean.twin.argmax(axis=1)).sum())
    # Neither rows of a table nor images: described as vectors.
    described = features(x if x.ndim in {2, 4} else x.reshape(len(x), -1))
    if drill is None:
        scores = {k: divergence.score(v.primary, v.twin) for k, v in views.items()}
        first = scores.pop("")
        return Calibration.fit(first, scores, described, agreeing=agreeing, delta=delta)
    panel = train(primary, twin, drill, rng=rng, bounds=bounds)
    readings = {name: panel.readings(view) for name, view in views.items()}
    scores = {name: panel.score(part) for name, part in readings.items()}
    first = scores.pop("")
    fitted = Calibration.fit(
        first,
        scores,
        described,
        agreeing=agreeing,
        delta=delta,
        tests=1 + len(drill.hedges),
    )
    classes = clean.primary.shape[1]
    answers = np.bincount(clean.primary.argmax(axis=1), minlength=classes).astype(np.float64)
    return fitted.with_panel(panel, drill.hedges, list(readings.values()), answers)


def train(
    primary: Answer, twin: Answer, drill: Drill, *, rng: np.random.Generator, bounds: Bounds
) -> Panel:
    """Fit the drill's sensors on its samples, their benign shifts and its attacks."""
    moved = _shifted(drill.x, rng=rng, bounds=bounds)
    return Panel.fit(
        drill.sensors,
        look(primary, twin, drill.x),
        {name: look(primary, twin, x) for name, x in {**moved, **drill.harmless}.items()},
        {name: look(primary, twin, x) for name, x in drill.hostile.items()},
    )


def look(primary: Answer, twin: Answer, x: NDArray[np.float32]) -> View:
    """A view of inputs: both models' answers to them."""

    def ask(again: NDArray[np.float32]) -> NDArray[np.floating]:
        return _logits(primary, again)

    return View(x=x, primary=ask(x), twin=_logits(twin, x), ask=ask)


def _shifted(
    x: NDArray[np.float32], *, rng: np.random.Generator, bounds: Bounds
) -> dict[str, NDArray[np.float32]]:
    # Neither rows of a table nor images: shifted as vectors.
    plain = x if x.ndim in {2, 4} else x.reshape(len(x), -1)
    moved = benign(plain, rng=rng, bounds=bounds)
    return {name: again.reshape(x.shape) for name, again in moved.items()}


def _logits(answer: Answer, x: NDArray[np.float32]) -> NDArray[np.floating]:
    return np.concatenate([answer(x[i : i + _BATCH]) for i in range(0, len(x), _BATCH)])
