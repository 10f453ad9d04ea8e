"""DriftMonitor: have the inputs changed? Which is not yet an attack."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from math import isfinite, log
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard.features import NAMES
from hauberk.monitor.alarm import alarm
from hauberk.monitor.fold import State, read_counts, read_state
from hauberk.monitor.wealth import Wealth, check_share, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.guard.calibration import Calibration
    from hauberk.monitor.block import Block

# (low, high, stake): from a few inputs far out to all of them a little off.
_BETS = (
    (0.0, 0.1, 0.8),
    (0.0, 0.06, 0.1),
    (0.05, 0.3, 0.6),
    (0.25, 0.75, 0.7),
    (0.25, 0.75, 0.25),
)
_EACH = np.arange(len(NAMES))
_AHEAD = 256
"""Records that are looked ahead at: what they pay should stay near the processor."""


@dataclass(kw_only=True, eq=False)
class DriftMonitor:
    """Sequential test of each input statistic, upwards and downwards: evidence ``HB-D002``.

    While the inputs are drawn as the calibration set was, the probability that it ever alarms is
    at most ``alpha``, however long the stream (but for the calibration's delta). The statistics
    share alpha evenly (Bonferroni). After an alarm it only counts, until :meth:`reset`. Records
    without features are counted and otherwise ignored.

    Raises:
        UserError: if ``alpha`` is outside (0, 1).
    """

    calibration: Calibration
    alpha: float = 0.01
    _edges: list[list[float]] = field(init=False, repr=False)
    _lines: list[NDArray[np.float64]] = field(init=False, repr=False)
    _paid: NDArray[np.float64] = field(init=False, repr=False)
    _bound: float = field(init=False, repr=False)
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        self._lay_out(table(self.calibration.feature_levels, _BETS))
        self.reset()

    def _lay_out(self, pays: NDArray[np.float64]) -> None:
        """What both directions' bets pay in each gap between a statistic's thresholds, in order.

        A value at a low threshold is not below it, and one at a high threshold not above it.
        """
        reference = self.calibration
        last = len(reference.feature_levels)
        self._edges, paid = [], []
        for low, high in zip(reference.feature_low, reference.feature_high, strict=True):
            after = np.nextafter(low, -np.inf)  # v >= low exactly where v > the number before it
            edges = np.unique(np.concatenate((after, high)))
            self._edges.append(edges.tolist())
            inside = np.append(edges, np.inf)  # the largest value of each gap
            above = last - (inside[:, None] > high).sum(axis=1)
            below = last - (inside[:, None] < low).sum(axis=1)
            paid.append(np.concatenate((pays[above], pays[below]), axis=1))
        longest = max(map(len, paid))
        whole = [np.pad(p, ((0, longest - len(p)), (0, 0)), mode="edge") for p in paid]
        self._paid = np.stack(whole)
        self._lines = [np.array(edges) for edges in self._edges]
        self._bound = len(NAMES) / self.alpha * 2 * len(_BETS)

    def reset(self) -> None:
        """Start a new run, with all of alpha; the place in the stream is kept."""
        self._counts = {"used": 0, "ignored": 0, "after_alarm": 0}
        self._alarmed = False
        self._wealth = Wealth((len(NAMES), 2 * len(_BETS)))

    @property
    def alarmed(self) -> bool:
        """Whether drift was found since the last reset."""
        return self._alarmed

    def evidence(self) -> dict[str, float]:
        """Evidence of each input statistic, in nats, against :meth:`limit`."""
        return dict(zip(NAMES, self._wealth.evidence().tolist(), strict=True))

    def limit(self) -> float:
        """Evidence, in nats, at which one statistic alarms."""
        return log(len(NAMES) / self.alpha)

    def update(self, record: Record, /) -> Evidence | None:
        """Bet on one record's features; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        if self._alarmed:
            self._counts["after_alarm"] += 1
            return None
        x = record.features
        if len(x) != len(NAMES) or not all(map(isfinite, x)):
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        places = list(map(bisect_left, self._edges, x))
        self._wealth.play(self._paid[_EACH, places])
        if np.maximum.reduce(np.add.reduce(self._wealth.money, axis=1)) < self._bound:
            return None
        return self._alarm(record)

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last:
            return start
        if self._alarmed:
            self._counts["after_alarm"] += end - start
            self._last = block.seq[end - 1]
            return end
        while start < end:
            wanted = min(end, start + _AHEAD)
            start = self._passed(block, start, wanted)
            if start < wanted:
                break
        return start

    def _passed(self, block: Block, start: int, end: int) -> int:
        rows = start + np.flatnonzero(block.measured[start:end])
        x = block.features[rows]
        places = [
            np.searchsorted(edges, column) for edges, column in zip(self._lines, x.T, strict=True)
        ]
        pays = self._paid[_EACH[:, None], places].swapaxes(0, 1)
        n = self._wealth.run(pays, self._bound)
        end = end if n == len(rows) else int(rows[n])
        if end > start:
            self._counts["used"] += n
            self._counts["ignored"] += end - start - n
            self._last = block.seq[end - 1]
        return end

    def moved(self) -> dict[str, str]:
        """The statistics at the limit, strongest first, each ``higher`` or ``lower``."""
        strength = self._wealth.evidence()
        order = np.argsort(-strength, kind="stable")
        half = len(_BETS)
        return {
            NAMES[k]: "higher"
            if self._wealth.money[k, :half].max() >= self._wealth.money[k, half:].max()
            else "lower"
            for k in order
            if strength[k] >= self.limit()
        }

    def _alarm(self, record: Record) -> Evidence:
        self._alarmed = True
        moved, value = self.moved(), float(self._wealth.evidence().max())
        words = ", ".join(f"{name.replace('_', ' ')} is {way}" for name, way in moved.items())
        return alarm(
            "HB-D002",
            record,
            value=value,
            limit=self.limit(),
            message=f"the inputs drifted: {words} than when calibrated (evidence {value:.1f} nats, "
            f"limit {self.limit():.1f}, request {self._counts['used']}); drift alone is no attack",
            spec={
                "alpha": self.alpha,
                "features": moved,
                "requests": self._counts["used"],
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "alarmed": self._alarmed,
            "wealth": self._wealth.state(),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "drift monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, alarmed = state["last"], state["alarmed"]
        counts = read_counts(state, self._counts)
        if type(last) is not int or type(alarmed) is not bool:
            raise DataError("the place in the stream is malformed", where="drift monitor")
        wealth = Wealth.restored(state["wealth"], self._wealth.base.shape)
        self._last, self._alarmed, self._counts, self._wealth = last, alarmed, counts, wealth
