"""LabelShiftMonitor: are other answers given than when calibrated?"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.interval import wilson
from hauberk.monitor.alarm import alarm
from hauberk.monitor.fold import State, read_counts, read_state
from hauberk.monitor.wealth import Wealth, check_share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.monitor.block import Block

_STAKES = (0.02, 0.1, 0.4)
_AHEAD, _LEAST_AHEAD = 8192, 32
"""Rows of labels that are looked ahead at."""
_SURE = 3.3
"""Standard errors to the upper bound of each share: one in a thousand lies above it."""


@dataclass(kw_only=True, eq=False)
class LabelShiftMonitor:
    """Sequential test of each answer's share against its upper bound: evidence ``HB-D012``.

    ``answers`` ``(classes,)`` are counts on clean samples. While no label is given more often than
    the bound says, an alarm comes with a probability of ``alpha`` at most, however long the
    stream; the bounds themselves are wrong for one class in a thousand. The labels share alpha
    evenly. After an alarm it only counts, until :meth:`reset`.

    Raises:
        UserError: if there are fewer than two classes or no samples.
    """

    answers: NDArray[np.float64]
    alpha: float = 0.01
    _bound: NDArray[np.float64] = field(init=False, repr=False)
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        counts = np.asarray(self.answers, dtype=np.float64)
        if counts.ndim != 1 or len(counts) < 2 or counts.sum() < 1 or (counts < 0).any():
            raise UserError("answers must count the labels of at least two classes")
        n = int(counts.sum())
        self._bound = np.array([wilson(int(c), n, z=_SURE)[1] for c in counts])
        self.reset()

    def reset(self) -> None:
        """Start a new run, with all of alpha; the place in the stream is kept."""
        self._counts = {"used": 0, "ignored": 0, "after_alarm": 0}
        self._alarmed = False
        self._given = np.zeros(len(self._bound), dtype=np.int64)
        self._wealth = Wealth((len(self._bound), len(_STAKES)))
        # A bet loses its stake where another label is given, and wins 1/bound of it where its is.
        stakes = np.array(_STAKES)
        self._lost = np.tile(1 - stakes, (len(self._bound), 1))
        self._won = 1 - stakes + stakes / self._bound[:, None]

    @property
    def alarmed(self) -> bool:
        """Whether a shift was found since the last reset."""
        return self._alarmed

    def update(self, record: Record, /) -> Evidence | None:
        """Bet on one record's label; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        if self._alarmed:
            self._counts["after_alarm"] += 1
            return None
        label = record.label
        if record.outcome not in {"pass", "flag"} or not 0 <= label < len(self._bound):
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        self._given[label] += 1
        pays = self._lost.copy()
        pays[label] = self._won[label]
        self._wealth.play(pays)
        worth = self._wealth.money[label].mean()  # no other label's can have grown
        if worth < len(self._bound) / self.alpha:
            return None
        return self._alarm(record, label, float(worth))

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last:
            return start
        if self._alarmed:
            self._counts["after_alarm"] += end - start
            self._last = block.seq[end - 1]
            return end
        ahead = max(_LEAST_AHEAD, _AHEAD // len(self._bound))
        while start < end:
            wanted = min(end, start + ahead)
            start = self._passed(block, start, wanted)
            if start < wanted:
                break
        return start

    def _passed(self, block: Block, start: int, end: int) -> int:
        label = block.label[start:end]
        rows = start + np.flatnonzero((label >= 0) & (label < len(self._bound)))
        label = block.label[rows]
        pays = np.repeat(self._lost[None], len(rows), axis=0)
        pays[np.arange(len(rows)), label] = self._won[label]
        n = self._wealth.run(pays, len(self._bound) / self.alpha * len(_STAKES))
        end = end if n == len(rows) else int(rows[n])
        if end > start:
            self._counts["used"] += n
            self._counts["ignored"] += end - start - n
            self._given += np.bincount(label[:n], minlength=len(self._bound))
            self._last = block.seq[end - 1]
        return end

    def _alarm(self, record: Record, label: int, worth: float) -> Evidence:
        self._alarmed = True
        share = float(self._given[label] / self._counts["used"])
        value, limit = log(worth), log(len(self._bound) / self.alpha)
        return alarm(
            "HB-D012",
            record,
            value=value,
            limit=limit,
            message=f"the answers shifted: label {label} is {share:.1%} of them, "
            f"{self._bound[label]:.1%} at most when calibrated (evidence {value:.1f} nats, limit "
            f"{limit:.1f}, request {self._counts['used']}); the world may have changed",
            spec={
                "alpha": self.alpha,
                "label": label,
                "share": share,
                "bound": float(self._bound[label]),
                "requests": self._counts["used"],
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "alarmed": self._alarmed,
            "given": self._given.tolist(),
            "wealth": self._wealth.state(),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "label-shift monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, alarmed, given = state["last"], state["alarmed"], state["given"]
        counts = read_counts(state, self._counts)
        if type(last) is not int or type(alarmed) is not bool or not isinstance(given, list):
            raise DataError("the place in the stream is malformed", where="label-shift monitor")
        if len(given) != len(self._bound) or any(type(n) is not int or n < 0 for n in given):
            raise DataError("counts of other labels", where="label-shift monitor")
        wealth = Wealth.restored(state["wealth"], self._wealth.base.shape)
        self._last, self._alarmed, self._counts, self._wealth = last, alarmed, counts, wealth
        self._given = np.array(given, dtype=np.int64)
