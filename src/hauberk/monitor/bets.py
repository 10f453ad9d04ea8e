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
    from hauberk.monitor.block import Block

    Rows = NDArray[np.int64]
    Factors = NDArray[np.float64]

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

    __slots__ = ("_tables", "hedges", "levels", "pays", "repeats", "rows", "size", "tenants")

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
        every = {1.0, repeats, *self.tenants.values()}
        self._tables = {one: self.pays ** (1.0 / one) for one in every}

    def repeated(self, record: Record) -> float:
        """How many requests in a row of its tenant may show the same thing."""
        return self.tenants.get(record.tenant, self.repeats)

    def paid(self, record: Record) -> NDArray[np.float64] | None:
        """What all bets pay, as factors ``(size,)``; None if the record has no p-value.

        Where a hedge was not measured its bets are called off, which is fair.
        """
        p = record.p_benign
        if p is None or not 0.0 <= p <= 1.0:
            return None
        pays = self._tables[self.repeated(record)]
        first: NDArray[np.float64] = pays[bisect_left(self.rows, p)]
        if not self.hedges:
            return first
        out = np.ones(self.size)
        width = len(BETS)
        out[:width] = first
        if len(record.p_hedges) == self.hedges:
            for number, hedge in enumerate(record.p_hedges, start=1):
                if 0.0 <= hedge <= 1.0:
                    start = number * width
                    out[start : start + width] = pays[bisect_left(self.rows, hedge)]
        return out

    def paid_block(self, block: Block, start: int, end: int) -> tuple[Rows, Factors]:
        """Rows of a block that have a p-value, from ``start`` on; what each pays ``(n, size)``."""
        places, fair, usable = block.once(
            ("places", self.rows, self.hedges), lambda: self._places(block)
        )
        rows = start + np.flatnonzero(usable[start:end])
        told = [self.repeated(block.records[row]) for row in rows.tolist()] if self.tenants else []
        if len(set(told)) > 1:
            kinds = list(self._tables)
            every = np.stack(list(self._tables.values()))
            which = np.array([kinds.index(one) for one in told])
            paid = every[which[:, None], places[rows]]
        else:
            paid = self._tables[told[0] if told else self.repeats][places[rows]]
        paid[fair[rows]] = 1.0
        return rows, paid.reshape(len(rows), self.size)

    def _places(self, block: Block) -> tuple[Rows, NDArray[np.bool_], NDArray[np.bool_]]:
        """Each p-value's row in the table, where its bets are called off, which records count."""
        read = block.p_benign[:, None]
        if self.hedges:
            read = np.concatenate((read, block.p_hedges(self.hedges)), axis=1)
        known = (read >= 0.0) & (read <= 1.0)
        return self.levels.searchsorted(np.where(known, read, 1.0)), ~known, known[:, 0]
