"""The attacks that names stand for, made ready: given their surrogates, fitted on other samples."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch

from hauberk.attack.attack import Fits
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.registry import find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

_MOST = 1000


def ready(
    names: Sequence[str],
    model: Model,
    others: Callable[[], Dataset],
    threat: ThreatModel,
    *,
    task: Task,
    seed: int,
    surrogates: Sequence[Model] = (),
) -> dict[str, Attack]:
    """Each name's attack with its defaults, ready to be run.

    ``others`` gives samples that the model is not judged on, if any attack learns from such; at
    most 1000 are used. What an attack learns depends on the seed and its own name alone.

    Raises:
        UnknownNameError: if there is no such attack.
        UserError: if a surrogate is given that no attack uses, or the fit does not go with the
            model.
    """
    found: dict[str, Attack] = {}
    used = False
    for name in names:
        attack = find("attack", name)()
        if surrogates and "surrogates" in {field.name for field in fields(attack)}:
            attack, used = replace(attack, surrogates=tuple(surrogates)), True
        if isinstance(attack, Fits):
            rng = np.random.default_rng([seed, crc32(name.encode())])
            batch = _batch(others(), rng)
            attack = attack.fit(model, batch, threat, task=task, rng=rng)
        found[name] = attack
    if surrogates and not used:
        raise UserError("none of the attacks uses a surrogate", hint="add transfer to --attacks")
    return found


def _batch(data: Dataset, rng: np.random.Generator) -> Batch:
    index = np.sort(rng.permutation(len(data))[:_MOST])
    return Batch(x=torch.from_numpy(data.x[index]), y=torch.from_numpy(data.y[index]), index=index)
