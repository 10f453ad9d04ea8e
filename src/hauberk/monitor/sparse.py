"""Sparse: an attack on a small share of requests whose bulk is as calibrated."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError
from hauberk.monitor.wealth import Wealth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WINDOW = 100
BULK = 0.70
_SLACK = 1e-5


class Sparse:
    """Bets on the clean p-value, but only while no input statistic has moved as a whole.

    A small share of attacked requests hides behind the composite null: mixed with clean traffic it
    looks like a mild shift of all of it. Such a shift moves the bulk of some input statistic, a
    small share of attacks cannot. So each p-value waits for ``WINDOW`` further records; where then
    over ``BULK`` of them lie on one side of a calibrated median, the bet is void and what was won
    is given up. Under clean traffic the bound of :class:`Wealth` holds; under benign shifts this
    rests on the shift being seen in the bulk.
    """

    __slots__ = ("_above", "_below", "_medians", "_sides", "_waiting", "voided", "wealth")

    def __init__(self, medians: NDArray[np.float64], *, bets: int) -> None:
        self._medians = medians
        slack = _SLACK * (1 + np.abs(medians))
        self._below, self._above = medians - slack, medians + slack
        self._waiting: deque[tuple[int, NDArray[np.bool_]]] = deque()
        self._sides = np.zeros(2 * len(medians), dtype=np.int64)
        self.wealth = Wealth((bets,))
        self.voided = 0

    @property
    def width(self) -> int:
        """How many input statistics a record must have."""
        return len(self._below)

    def play(self, row: int, features: Sequence[float], pays: NDArray[np.float64]) -> bool:
        """Queue a record and settle the oldest by the table ``pays``; whether that bet counted."""
        x = np.array(features)
        sides = np.empty(len(self._sides), dtype=np.bool_)
        half = len(x)
        np.greater(x, self._above, out=sides[:half])
        np.less(x, self._below, out=sides[half:])
        self._take(row, sides)
        if len(self._waiting) <= WINDOW:
            return False
        oldest, sides = self._waiting.popleft()
        self._sides -= sides
        if np.maximum.reduce(self._sides) > BULK * WINDOW:
            self.wealth.withdraw()
            self.voided += 1
            return False
        self.wealth.play(pays[oldest])
        return True

    def skip(
        self,
        rows: NDArray[np.int64],
        x: NDArray[np.float64],
        pays: NDArray[np.float64],
        limit: float,
    ) -> int:
        """As :meth:`play` for places ``rows`` ``(n,)`` in the table and statistics ``(n, width)``.

        Only while what the bets hold stays below ``limit`` in the mean. Return how many records
        that were, n if all; otherwise this queue is of no use any more.
        """
        sides = np.concatenate((x > self._above, x < self._below), axis=1)
        before = len(self._waiting)
        if before:
            rows = np.concatenate(([row for row, _ in self._waiting], rows))
            sides = np.concatenate(([one for _, one in self._waiting], sides))
        settled = max(0, len(rows) - WINDOW)
        sums = np.zeros((len(rows) + 1, sides.shape[1]), dtype=np.int64)
        np.cumsum(sides, axis=0, out=sums[1:])
        bulk = sums[WINDOW + 1 :] - sums[1 : settled + 1]
        void = np.asarray((bulk > BULK * WINDOW).any(axis=1))
        ends = np.flatnonzero(np.diff(void)) + 1
        for first, last in pairwise((0, *ends.tolist(), settled) if settled else ()):
            if void[first]:
                self.wealth.withdraw()
                self.voided += last - first
                continue
            took = self.wealth.run(pays[rows[first:last]], limit * pays.shape[1])
            if took < last - first:
                return first + took + WINDOW - before
        self._waiting = deque(zip(rows[settled:].tolist(), sides[settled:], strict=True))
        self._sides = sums[-1] - sums[settled]
        return len(x)

    def copy(self) -> Sparse:
        """Another that goes on from here."""
        other = Sparse(self._medians, bets=self.wealth.base.size)
        other.wealth, other.voided = self.wealth.copy(), self.voided
        other._waiting, other._sides = self._waiting.copy(), self._sides.copy()
        return other

    def _take(self, row: int, sides: NDArray[np.bool_]) -> None:
        self._waiting.append((row, sides))
        self._sides += sides

    def state(self) -> dict[str, object]:
        """Capital and the waiting records, each a table row and its sides as an integer."""
        waiting = [
            [row, int.from_bytes(np.packbits(sides).tobytes(), "big")]
            for row, sides in self._waiting
        ]
        return {"wealth": self.wealth.state(), "voided": self.voided, "waiting": waiting}

    def restored(self, state: Any, rows: int) -> Sparse:
        """One of the same settings that goes on from a state, for a table of ``rows`` rows.

        Raises:
            DataError: if the state is malformed.
        """
        other = Sparse(self._medians, bets=self.wealth.base.size)
        other.wealth = Wealth.restored(state["wealth"], self.wealth.base.shape)
        voided, waiting = state["voided"], state["waiting"]
        if type(voided) is not int or len(waiting) > WINDOW:
            raise DataError("the queue does not fit", where="sparse")
        other.voided = voided
        width = len(self._sides)
        for row, packed in waiting:
            if type(row) is not int or not 0 <= row < rows:
                raise DataError("a queued record is malformed", where="sparse")
            raw = np.frombuffer(int(packed).to_bytes((width + 7) // 8, "big"), dtype=np.uint8)
            other._take(row, np.unpackbits(raw, count=width).astype(np.bool_))
        return other
