"""What screening costs: the inline stack on one request, and beside it the models' own forward."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.lab_models import ResNet20
from benchmarks.table import Row, at_most
from hauberk.adapters.models.architectures import build
from hauberk.faces.gateway.screen import Screen, drift_features
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import NAMES
from hauberk.guard.fingerprint import Fingerprint
from hauberk.guard.panel import HEDGES, SENSORS, Panel
from hauberk.guard.schema import Schema
from hauberk.guard.sensor import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CLASSES, FITTED, FEW = 10, 64, 6
TARGETS = {(1, 28, 28): 0.15, (3, 224, 224): 1.0, (3, 1024, 2048): 7.0}
"""Milliseconds of the stack, without the models."""


def costs() -> list[Row]:
    """Minima of processor time, one request of one row each."""
    out = []
    for shape, target in TARGETS.items():
        label = "x".join(map(str, shape[shape[0] == 1 :]))
        rng = np.random.default_rng(0)
        screen, schema = _screen(shape, rng), Schema(shape=shape)
        x = rng.random((1, *shape), dtype=np.float32)
        primary, twin = (rng.normal(size=(1, CLASSES)).astype(np.float32) for _ in range(2))
        mark = Fingerprint(b"a key of sixteen bytes")

        def stack(x: Any = x, a: Any = primary, b: Any = twin) -> None:
            schema.inspect(x)  # noqa: B023 - called at once
            screen.suspicion(a, b, x)  # noqa: B023

        def beside(x: Any = x) -> None:
            drift_features(x)
            mark(x)  # noqa: B023

        few = 5 if shape[-1] > 1000 else 200
        inline = _least(stack, few)
        out.append(at_most(f"{label}: inline stack, ms", inline, target))
        late = _least(beside, few)
        out.append(
            Row(id=f"{label}: statistics and fingerprint, after the answer, ms", measured=late)
        )
        forward = _forward(shape, x, 3 if shape[-1] > 1000 else 30)
        share = (inline + forward) / forward
        out.append(Row(id=f"{label}: forward of the served model, ms", measured=forward))
        label = f"{label}: stack and twin, as a share of that forward"
        out.append(Row(id=label, measured=share))
    return out


def _screen(shape: tuple[int, ...], rng: np.random.Generator) -> Screen:
    """A panel of the usual sensors, fitted on noise: what it costs does not depend on that."""
    count = FITTED if shape[-1] < 1000 else FEW

    def view(level: float) -> View:
        x = rng.random((count, *shape), dtype=np.float32) * np.float32(level)
        logits = [rng.normal(size=(count, CLASSES)).astype(np.float32) for _ in range(2)]
        return View(x=x, primary=logits[0], twin=logits[1])

    panel = Panel.fit(SENSORS, view(1.0), {"dark": view(0.8)}, {"attack": view(0.9)})
    n = 600
    fitted = Calibration.fit(
        rng.normal(size=n),
        {"dark": rng.normal(size=n)},
        rng.normal(size=(n, len(NAMES))),
        agreeing=n,
    )
    answers: NDArray[np.float64] = np.full(CLASSES, n / CLASSES)
    readings = [rng.normal(size=(n, panel.width)) for _ in range(2)]
    return Screen(fitted.with_panel(panel, HEDGES, readings, answers))


def _forward(shape: tuple[int, ...], x: NDArray[np.float32], few: int) -> float:
    small = shape[0] == 1
    module = build("cnn", {"in_shape": list(shape), "classes": CLASSES}) if small else ResNet20()
    module.eval()
    given = torch.from_numpy(x)

    def run() -> None:
        with torch.no_grad():
            module(given)

    return _least(run, few)


def _least(call: Callable[[], None], times: int) -> float:
    """Milliseconds of the quickest of some calls, the first left out."""
    call()
    spent = []
    for _ in range(times):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return 1e3 * min(spent)
