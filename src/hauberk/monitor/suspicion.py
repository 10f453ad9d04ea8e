"""SuspicionMonitor: is the request stream under attack? Valid at any time, without labels."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.guard import band
from hauberk.monitor.alarm import alarm
from hauberk.monitor.bets import Bets
from hauberk.monitor.fold import State, read_counts, read_state
from hauberk.monitor.principals import Principals
from hauberk.monitor.sparse import Sparse
from hauberk.monitor.wealth import Wealth, check_share, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.guard.calibration import Calibration
    from hauberk.monitor.block import Block

SHARES = {"service": 0.5, "principal": 0.25, "sparse": 0.25}
"""How alpha is split over the three tests."""

_FEW_ALIKE = 1.5
"""From so many repeats on the sparse test, whose bets wait for later requests, leaves them out."""
_SPARSE_BETS = ((0.0, 0.015, 0.03), (0.0, 0.015, 0.1), (0.0, 0.06, 0.03), (0.0, 0.06, 0.15))


@dataclass(kw_only=True, eq=False)
class SuspicionMonitor:
    """Sequential test of the sensors' p-values: evidence ``HB-D001`` at the moment of an alarm.

    On clean traffic, of any length, the probability that it ever alarms is at most ``alpha`` (but
    for the calibration's delta; requests independent of each other). Three tests share alpha. The
    service's and that of each principal bet on ``p_benign`` and so hold for every calibrated
    benign shift as well; they bet on each of the calibration's hedges too, and the mean of what is
    won counts, which is valid however the sensors depend on each other. The sparse one bets on
    ``p_value`` while the bulk of the inputs is as calibrated; it needs a ``calibration``.

    Where up to ``repeats`` requests in a row may show the same thing, or those of some ``tenants``
    (name to number), their evidence counts as that of one; the sparse test leaves them out.

    At most ``principals`` clients are followed at a time. After an alarm the monitor only counts,
    until :meth:`reset`. A record without a p-value is counted and otherwise ignored.

    Raises:
        UserError: if ``alpha`` is outside (0, 1), ``principals`` or a number of repeats below 1.
    """

    alpha: float = 0.01
    calibration: Calibration | None = None
    principals: int = 256
    repeats: float = 1.0
    tenants: Mapping[str, float] = field(default_factory=dict)
    _bets: Bets = field(init=False, repr=False)
    _sparse_pays: NDArray[np.float64] = field(init=False, repr=False)
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        if self.principals < 1:
            raise UserError(f"principals must be at least 1, not {self.principals}")
        self._bets = Bets(self.calibration, repeats=self.repeats, tenants=self.tenants)
        self._sparse_pays = table(self._strict_levels(), _SPARSE_BETS)
        self.reset()

    def reset(self) -> None:
        """Start a new run after an incident, with all of alpha; the place in the stream is kept."""
        self._counts = {"used": 0, "ignored": 0, "after_alarm": 0}
        self._alarmed = False
        self._service = Wealth((self._bets.size,))
        self._clients = Principals(capacity=self.principals, bets=self._bets.size)
        medians = None if self.calibration is None else self.calibration.feature_median
        self._sparse = None if medians is None else Sparse(medians, bets=len(_SPARSE_BETS))

    @property
    def alarmed(self) -> bool:
        """Whether an alarm was raised since the last reset."""
        return self._alarmed

    def evidence(self) -> float:
        """Evidence of the service's test, in nats, against :meth:`limit`."""
        return float(self._service.evidence())

    def limit(self) -> float:
        """Evidence, in nats, at which the service's test alarms."""
        return -log(self.alpha * SHARES["service"])

    def update(self, record: Record, /) -> Evidence | None:
        """Bet on one record; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        if self._alarmed:
            self._counts["after_alarm"] += 1
            return None
        pays = self._bets.paid(record)
        if pays is None:
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        self._service.play(pays)
        if self._service.mean() * self.alpha * SHARES["service"] >= 1:
            return self._alarm(record, "all traffic", self.evidence(), self.limit())
        account = self._clients.play(record.principal, pays)
        limit = account.limit(self.alpha * SHARES["principal"])
        if account.worth >= limit:
            return self._alarm(record, "one client", account.evidence, log(limit))
        return self._bet_sparsely(record)

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last:
            return start
        if self._alarmed:
            self._counts["after_alarm"] += end - start
            self._last = block.seq[end - 1]
            return end
        rows, pays = self._bets.paid_block(block, start, end)
        names = block.groups(rows, "principal")
        if not self._clients.holds(names):
            return start
        service = self._service.copy()
        sparse = None if self._sparse is None else self._sparse.copy()
        n = service.run(pays, self._bets.size / (self.alpha * SHARES["service"]))
        if n == len(rows) and sparse is not None:
            n = self._skip_sparsely(sparse, block, rows)
        if n == len(rows):
            share = self.alpha * SHARES["principal"]
            n = self._clients.skip(names, pays, lambda account: account.limit(share))
        if n < len(rows):  # up to there all three are quiet
            stop = int(rows[n]) if n > 0 else start
            return self.skip(block, start, stop) if stop > start else start
        self._service, self._sparse = service, sparse
        self._counts["used"] += len(rows)
        self._counts["ignored"] += end - start - len(rows)
        self._last = block.seq[end - 1]
        return end

    def _skip_sparsely(self, sparse: Sparse, block: Block, rows: NDArray[np.int64]) -> int:
        """How many of ``rows`` are quiet by the sparse test."""
        if sparse.width != block.features.shape[1]:
            return len(rows)
        on = block.fits[rows] & block.has_p[rows]
        if self.tenants or self.repeats >= _FEW_ALIKE:
            told = [self._bets.repeated(block.records[row]) for row in rows]
            on &= np.array(told, dtype=np.float64) < _FEW_ALIKE
        places = np.flatnonzero(on)
        levels = self._bets.levels.searchsorted(block.p_value[rows[places]])
        limit = 1 / (self.alpha * SHARES["sparse"])
        x = block.features[rows[places]]
        took = sparse.skip(levels, x, self._sparse_pays, limit)
        return int(places[took]) if took < len(places) else len(rows)

    def _strict_levels(self) -> NDArray[np.float64]:
        """Levels of the same ranks for the sparse test, held with a fifth of delta.

        The composite null spares the other tests most bad draws of the calibration set; this one
        bets on the clean p-value alone.
        """
        if self.calibration is None:
            return self._bets.levels
        strict = band.levels(self.calibration.n, self.calibration.delta / 5)
        return np.maximum(self._bets.levels, strict)

    def _bet_sparsely(self, record: Record) -> Evidence | None:
        sparse = self._sparse
        p = record.p_value
        if sparse is None or p is None or len(record.features) != sparse.width:
            return None
        if self._bets.repeated(record) >= _FEW_ALIKE:
            return None
        if not sparse.play(bisect_left(self._bets.rows, p), record.features, self._sparse_pays):
            return None
        share = self.alpha * SHARES["sparse"]
        if sparse.wealth.mean() * share < 1:
            return None
        found = float(sparse.wealth.evidence())
        return self._alarm(record, "a share of the traffic", found, -log(share))

    def _alarm(self, record: Record, scope: str, evidence: float, limit: float) -> Evidence:
        self._alarmed = True
        spec: dict[str, Any] = {
            "alpha": self.alpha,
            "scope": scope,
            "requests": self._counts["used"],
        }
        whom = scope
        if scope == "one client":
            spec["principal"] = record.principal
            whom = f"the client {record.principal[:80]!r}"
        return alarm(
            "HB-D001",
            record,
            value=evidence,
            limit=limit,
            message=f"attack on {whom}: the sensors read what no calibrated benign shift explains "
            f"(evidence {evidence:.1f} nats, limit {limit:.1f}, request {self._counts['used']})",
            spec=spec,
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "alarmed": self._alarmed,
            "service": self._service.state(),
            "principals": self._clients.state(),
            "sparse": None if self._sparse is None else self._sparse.state(),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "suspicion monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, alarmed = state["last"], state["alarmed"]
        counts = read_counts(state, self._counts)
        if type(last) is not int or type(alarmed) is not bool:
            raise DataError("the place in the stream is malformed", where="suspicion monitor")
        service = Wealth.restored(state["service"], self._service.base.shape)
        clients = self._clients.restored(state["principals"])
        sparse = self._sparse
        if (sparse is None) != (state["sparse"] is None):
            raise DataError("made with another calibration", where="suspicion monitor")
        if sparse is not None:
            sparse = sparse.restored(state["sparse"], len(self._sparse_pays))
        self._last, self._alarmed, self._counts = last, alarmed, counts
        self._service, self._clients, self._sparse = service, clients, sparse
