"""Bets on the p-values of a record: what they are, and what one record pays them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import UserError
from hauberk.monitor.wealth import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hauberk.core.record import Record
    from hauberk.guard.calibration import Calibration

# (low, high, stake): from attacks on all requests to attacks on one in twenty.
BETS = (
    (0.0, 0.1, 0.8),
    (0.04, 0.25, 0.7),
    (0.0, 0.1, 0.3),
    (0.1, 0.3, 0.3),
    (0.0, 0.06, 0.1),
    (0.0, 0.015, 0.05),
)
_LEVELS = tuple(float(u) for u in np.geomspace(1e-3, 0.7, 20))


class Bets:
    """``len(BETS)`` bets on the benign p-value, and as many on each hedge of the calibration.

    Their mean is what counts: valid however the sensors depend on each other. Without a
    calibration the p-values may take any value and count as the next of 20 levels.

    ``repeats`` requests in a row may show the same thing, as the frames of a video do; ``tenants``
    says it for some. What they pay is then the geometric mean: of that many requests, however they
    depend on each other, the product pays at most 1 on average (Hölder), as one request does else.
    """

    __slots__ = ("hedges", "levels", "pays", "repeats", "rows", "size", "tenants")

    def __init__(
        self,
        calibration: Calibration | None,
        *,
        repeats: float = 1.0,
        tenants: Mapping[str, float] | None = None,
    ) -> None:
        self.repeats, self.tenants = repeats, dict(tenants or {})
        if not all(1.0 <= one < float("inf") for one in (repeats, *self.tenants.values())):
            raise UserError("repeats must be 1 or more")
        known: Sequence[float] = _LEVELS if calibration is None else calibration.levels.tolist()
        self.levels = np.asarray(known, dtype=np.float64)
        self.rows = tuple(known)
        self.pays = table(self.levels, BETS)
        self.hedges = 0 if calibration is None else len(calibration.hedges)
        self.size = len(BETS) * (1 + self.hedges)

    def repeated(self, record: Record) -> float:
        """How many requests in a row of its tenant may show the same thing."""
        return self.tenants.get(record.tenant, self.repeats)

    def paid(self, record: Record) -> NDArray[np.float64] | None:
        """What all bets pay, as factors ``(size,)``; None if the record has no p-value.

        Where a hedge was not measured its bets are called off, which is fair.
        """
        whole, repeats = self._whole(record), self.repeated(record)
        return whole if whole is None or repeats == 1.0 else whole ** (1.0 / repeats)

    def _whole(self, record: Record) -> NDArray[np.float64] | None:
        p = record.p_benign
        if p is None or not 0.0 <= p <= 1.0:
            return None
        first: NDArray[np.float64] = self.pays[bisect_left(self.rows, p)]
        if not self.hedges:
            return first
        out = np.ones(self.size)
        width = len(BETS)
        out[:width] = first
        if len(record.p_hedges) == self.hedges:
            for number, hedge in enumerate(record.p_hedges, start=1):
                if 0.0 <= hedge <= 1.0:
                    start = number * width
                    out[start : start + width] = self.pays[bisect_left(self.rows, hedge)]
        return out
