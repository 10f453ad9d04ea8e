"""What can be proven of the model of a plan, beside what was found by attacking it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from hauberk.adapters.data.property_file import read_properties
from hauberk.adapters.models.source import open_model
from hauberk.core.data import Dataset
from hauberk.core.errors import UserError
from hauberk.evaluate.certify import certify
from hauberk.evaluate.run import Run
from hauberk.evaluate.safety import prove
from hauberk.evaluate.smoothing import Smoothing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hauberk.adapters.local.evaluation import Plan
    from hauberk.core.evidence import Evidence
    from hauberk.evaluate.run import Progress

Way = Literal["interval", "crown", "smoothing"]


def proofs(
    plan: Plan,
    n: int,
    ways: Iterable[Way],
    properties: Path | None,
    *,
    progress: Progress | None = None,
) -> Iterator[Evidence]:
    """HB-E008 for each way, on the first ``n`` samples of the plan; HB-E009 for each property.

    Raises:
        UserError: if the model, the norm or the file does not fit.
    """
    model, data = open_model(plan.model), plan.dataset()
    if not isinstance(data, Dataset):
        raise UserError("proofs know classes alone", hint="leave out --certify and --property")
    threat, run = plan.threat(data), Run(progress=progress)
    if n < len(data):
        data = data.take(np.arange(n))
    for way in ways:
        if way == "smoothing":
            found = Smoothing().certify(model, data, threat, run=run)
        else:
            found = certify(model, data, threat, method=way, run=run)
        yield found.evidence(plan.digest)
    if properties is not None:
        for claim in read_properties(str(properties), data.shape, data.classes):
            yield prove(model, claim).evidence(plan.digest)
