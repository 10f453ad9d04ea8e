"""Which sample belongs to which split, where the source knows part of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.data import SHARES

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAIN, VALIDATION, CALIBRATION, TEST = range(4)
_MOST = 5000


def official(
    y: NDArray[np.int64], test: NDArray[np.bool_], *, groups: NDArray[np.str_] | None = None
) -> NDArray[np.int8]:
    """Keep the official test samples; carve validation and calibration out of the others.

    They take the shares that they have in ``SHARES``, at most 5000 samples each, stratified by
    label. ``groups`` ``(n,)`` (frames of one track, say) are never torn apart. The same labels and
    groups always give the same parts.
    """
    rest = 1.0 - SHARES["test"]
    size = max(1, int((~test).sum()))
    validation = min(SHARES["validation"] / rest, _MOST / size)
    calibration = min(SHARES["calibration"] / rest, _MOST / size)
    return _draw(y, test, groups, (validation, calibration, 0.0))


def drawn(y: NDArray[np.int64]) -> NDArray[np.int8]:
    """A stratified split in the shares of ``SHARES`` that depends on the labels alone.

    For sources whose inputs are scaled by the range of the train part, which is needed first.
    """
    none = np.zeros(len(y), dtype=bool)
    return _draw(y, none, None, (SHARES["validation"], SHARES["calibration"], SHARES["test"]))


def _draw(
    y: NDArray[np.int64],
    test: NDArray[np.bool_],
    groups: NDArray[np.str_] | None,
    shares: tuple[float, float, float],
) -> NDArray[np.int8]:
    parts = np.full(len(y), TRAIN, dtype=np.int8)
    parts[test] = TEST
    unit = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    # A group is filed under the label of its first sample, so that it moves as a whole.
    free = np.flatnonzero(~test)
    heads, first = np.unique(unit[free], return_index=True)
    label_of = y[free][first]
    rng = np.random.default_rng(0)
    place = np.full(int(unit.max()) + 1, TRAIN, dtype=np.int8)
    for label in np.unique(label_of):
        members = rng.permutation(heads[label_of == label])
        cuts = np.round(np.cumsum(shares) * len(members)).astype(int)
        place[members[: cuts[0]]] = VALIDATION
        place[members[cuts[0] : cuts[1]]] = CALIBRATION
        place[members[cuts[1] : cuts[2]]] = TEST
    parts[free] = place[unit[free]]
    return parts
