"""Members: fingerprints of what a service's model was trained on, as its gateways make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.local.sharing import fingerprint_key
from hauberk.guard.fingerprint import Fingerprint
from hauberk.monitor import likeness
from hauberk.monitor.trained import Trained

if TYPE_CHECKING:
    from hauberk.adapters.local.home import Home
    from hauberk.core.ports import GuardState
    from hauberk.core.spec import Spec

MOST = 1 << 16
_AT_ONCE = 4096


def trained_on(home: Home, spec: Spec, shared: GuardState | None) -> Trained:
    """What the model of a state directory was trained on; of more than 65 536 samples so many.

    Raises:
        HauberkError: if the data cannot be had here.
    """
    data = load_dataset(spec.data.source).split("train")
    rows = np.sort(np.random.default_rng(0).permutation(len(data))[:MOST])
    mark = Fingerprint(fingerprint_key(home.folder, shared))
    marks: list[str] = []
    for at in range(0, len(rows), _AT_ONCE):
        marks += mark(data.x[rows[at : at + _AT_ONCE]])
    words = likeness.words(marks)
    return Trained(likeness.of_numbers(()) if words is None else words)
