"""The loop's work as plain functions from digests to digests: train, pair, harden, judge.

The local loop runs them in a subprocess; a pipeline runs the very same functions.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.adapters.local.gauge_drills import Asked, gauge, traffic
from hauberk.adapters.local.in_turn import in_turn
from hauberk.adapters.local.judgement import judgement
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.smaller import smaller
from hauberk.core.errors import UserError
from hauberk.evaluate.drill import attempts, drills
from hauberk.guard.pair import Drill, calibrate
from hauberk.guard.panel import HEDGES, SENSORS
from hauberk.harden.clean import Clean
from hauberk.harden.composition import MANY, compose, suited
from hauberk.harden.run import Run

if TYPE_CHECKING:
    from torch import nn

    from hauberk.adapters.local.shop import Shop
    from hauberk.adapters.models.torch_model import Architecture
    from hauberk.core.data import Dataset
    from hauberk.core.ports import Job
    from hauberk.core.spec import Spec
    from hauberk.harden.recipe import Recipe

TWIN_SHARE = 0.6
"""A twin is trained for this share of the epochs: it must be robust, not the best."""
_SEEN = 400_000
_LEARNED, _CALIBRATED, _GAUGED = 512, 1000, 128
"""At most as many samples teach the sensors, give the thresholds, and are moved for the gauge."""


def train(shop: Shop, *, seed: int, run: Run = Run()) -> str:  # noqa: B008 - frozen
    """Train a model as most are, without any attack; return its digest."""
    data = shop.data
    few = len(data.indices("train")) < MANY
    clean = Clean() if few else Clean(epochs=3, batch_size=128, precision="auto")
    module = clean.fit(
        shop.fresh(seed=seed), data.split("train"), data.split("validation"), seed=seed, run=run
    )
    return shop.register(
        module, role="primary", parent=None, origin={"method": "clean", "seed": seed}
    )


def hardened(shop: Shop, job: Job, run: Run) -> nn.Module:
    """The primary, trained on against the threat."""
    data = shop.data
    start = shop.model(job.inputs["primary"]).module
    return recipe(shop.spec, len(data.indices("train"))).fit(
        start,
        data.split("train"),
        data.split("validation"),
        shop.threat,
        seed=shop.spec.harden.seed + job.seed,
        run=run,
    )


def twinned(shop: Shop, job: Job, run: Run) -> nn.Module:
    """A robust model from weights of its own, so that knowing one does not give the other.

    Where the spec wants a smaller one, it is distilled from such a model, which is then forgotten.
    """
    data, seed = shop.data, shop.spec.harden.seed + job.seed
    parts, count = (data.split("train"), data.split("validation")), len(data.indices("train"))

    def robust(run: Run) -> nn.Module:
        made = recipe(shop.spec, count, share=TWIN_SHARE)
        return made.fit(shop.fresh(seed=seed), *parts, shop.threat, seed=seed, run=run)

    def distilled(teacher: nn.Module, run: Run) -> nn.Module:
        small, harden = twin_architecture(shop), shop.spec.harden
        spec = msgspec.structs.replace(
            shop.spec, harden=msgspec.structs.replace(harden, method="robust-distil")
        )
        made: Any = replace(recipe(spec, count), teacher=teacher)  # type: ignore[call-arg]
        student = build(small.name, small.params, seed=seed)
        module: nn.Module = made.fit(student, *parts, shop.threat, seed=seed, run=run)
        return module

    if shop.spec.harden.twin_width == 1:
        return robust(run)
    return in_turn(robust, distilled, shop.fresh(seed=seed), run)


def twin_architecture(shop: Shop) -> Architecture:
    """What a twin is built as."""
    width = shop.spec.harden.twin_width
    return shop.architecture if width == 1 else smaller(shop.architecture, width)


def harden(shop: Shop, job: Job, *, run: Run = Run()) -> dict[str, Any]:  # noqa: B008 - frozen
    """Train the primary on against the threat; the result names the ``candidate``."""
    began = time.process_time()
    trained = hardened(shop, job, run)
    origin = {
        "method": shop.spec.harden.method,
        "harden": msgspec.to_builtins(shop.spec.harden),
        "threat": str(shop.threat),
        "seed": shop.spec.harden.seed + job.seed,
        "job": job.id,
    }
    candidate = shop.register(trained, role="primary", parent=job.inputs["primary"], origin=origin)
    return {"candidate": candidate, "cpu_seconds": time.process_time() - began}


def pair(shop: Shop, job: Job, *, run: Run = Run()) -> dict[str, Any]:  # noqa: B008 - frozen
    """Train a robust twin for the ``candidate`` and calibrate the two."""
    seed = shop.spec.harden.seed + job.seed
    module = twinned(shop, job, run)
    primary = job.inputs["candidate"]
    twin = shop.register(
        module,
        role="twin",
        parent=primary,
        origin={"method": "twin", "seed": seed, "job": job.id},
        architecture=twin_architecture(shop),
    )
    return {"twin": twin, "calibration": calibration(shop, primary, twin, gauged=True)}


def judge(shop: Shop, job: Job) -> dict[str, Any]:
    """Hold the candidate against the policy; the result is what the loop decides by."""
    result = judgement(shop, job)
    twin = job.inputs.get("twin")
    paired = calibration(shop, job.inputs["candidate"], twin) if twin else None
    return {**result, "candidate": job.inputs["candidate"], "calibration": paired}


def calibration(shop: Shop, primary: str, twin: str, *, gauged: bool = False) -> str:
    """Calibrate a pair on the calibration split; return the digest of the thresholds.

    The sensors learn before, on the validation split and on attacks simulated on the primary.
    With ``gauged`` the accuracy gauge is fitted too, on the same samples.
    """
    seed = shop.spec.harden.seed
    model = shop.model(primary)
    known = _some(shop.data.split("validation"), _LEARNED, seed)
    held = _some(shop.data.split("calibration"), _CALIBRATED, seed)
    drilled = drills(model, known, shop.threat, seed=seed)
    sensors = shop.spec.detect.sensors or SENSORS
    drill = Drill(
        x=known.x,
        hostile=drilled.hostile,
        harmless=drilled.harmless,
        attempts=attempts(model, held, shop.threat, seed=seed),
        sensors=sensors,
        hedges=tuple(name for name in HEDGES if name in sensors),
    )
    served, robust = shop.session(primary), shop.session(twin)
    fitted = calibrate(
        served,
        robust,
        held.x,
        rng=np.random.default_rng(seed),
        delta=shop.spec.detect.delta,
        bounds=shop.data.bounds,
        drill=drill if drilled.hostile else None,
    )
    if gauged and fitted.panel is not None:
        ask = Asked(model=model, primary=served, twin=robust, calibration=fitted)
        seen = traffic(ask, known, shop.threat, most=_GAUGED, seed=seed)
        made = gauge(*seen, fitted, seed=seed)
        fitted = replace(fitted, gauge=shop.store.put(made.to_bytes()))
    return shop.store.put(fitted.to_bytes())


def _some(data: Dataset, most: int, seed: int) -> Dataset:
    """At most so many samples in an order drawn from the seed: data may be sorted by class."""
    return data.take(np.random.default_rng(seed).permutation(len(data))[:most])


def recipe(spec: Spec, n: int, *, share: float = 1.0) -> Recipe:
    """The hardening that a spec names, for ``n`` samples and a share of its epochs.

    ``harden.method`` may join parts to a method: ``ema,adversarial``. What the spec leaves open
    follows from the amount of data.

    Raises:
        UnknownNameError: if there is no such method or part.
        UserError: if what is named is no hardening, or has no such setting as the spec names.
    """
    wanted = spec.harden
    names = [name.strip() for name in wanted.method.split(",")]
    epochs = wanted.epochs or min(40, max(5, round(_SEEN / n)))
    made = compose(
        names,
        {**suited(names, n), "learning_rate": wanted.learning_rate},
        asked={
            "epochs": max(1, round(epochs * share)),
            "steps": wanted.steps,
            "step_size": wanted.step_size,
            "batch_size": wanted.batch_size,
        },
    )
    if isinstance(made, Clean):
        raise UserError("a hardening needs an attack", hint="harden.method = 'adversarial'")
    return made
