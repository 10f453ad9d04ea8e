"""RunLengthMonitor: a quick test for each model, tenant or client, at a stated run length."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any, Literal

from hauberk.core.errors import DataError, UserError
from hauberk.monitor.alarm import alarm
from hauberk.monitor.bets import Bets
from hauberk.monitor.cusum import Cusum
from hauberk.monitor.fold import State, read_counts, read_state
from hauberk.monitor.principals import Principals
from hauberk.monitor.shiryaev_roberts import ShiryaevRoberts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.guard.calibration import Calibration
    from hauberk.monitor.block import Block
    from hauberk.monitor.principals import Account
    from hauberk.monitor.wealth import Wealth

Scope = Literal["model", "tenant", "principal"]
Level = Literal["warn", "act"]
_TESTS: Mapping[str, type[Wealth]] = {"shiryaev-roberts": ShiryaevRoberts, "cusum": Cusum}
_CODES: Mapping[str, str] = {"warn": "HB-D006", "act": "HB-D001"}


@dataclass(kw_only=True, eq=False)
class RunLengthMonitor:
    """Sequential test whose false alarms come once in ``run_length`` requests at most, on average.

    It bets on ``p_benign`` and on the hedges of the ``calibration``, once for each model, tenant or
    principal (``per``), in at most ``capacity`` accounts; the one worth least makes room. On
    reaching ``run_length`` an account gives evidence, HB-D006 at the level ``warn`` and HB-D001 at
    ``act``, and starts anew. ``test`` is ``shiryaev-roberts`` or ``cusum``.

    The run length is that of requests which are independent of each other. Where up to ``repeats``
    in a row may show the same thing, or those of some ``tenants``, their evidence counts as one's.

    Raises:
        UserError: if a setting is out of range.
    """

    run_length: float = 1e4
    per: Scope = "model"
    level: Level = "warn"
    test: Literal["shiryaev-roberts", "cusum"] = "shiryaev-roberts"
    capacity: int = 1024
    calibration: Calibration | None = None
    repeats: float = 1.0
    tenants: Mapping[str, float] = field(default_factory=dict)
    _bets: Bets = field(init=False, repr=False)
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        if not 1 < self.run_length < float("inf") or self.capacity < 1:
            raise UserError("run_length must be above 1 and capacity at least 1")
        if self.test not in _TESTS or self.level not in _CODES:
            raise UserError("test is shiryaev-roberts or cusum, level warn or act")
        if self.per not in {"model", "tenant", "principal"}:
            raise UserError("per is model, tenant or principal")
        self._bets = Bets(self.calibration, repeats=self.repeats, tenants=self.tenants)
        self._accounts = Principals(
            capacity=self.capacity, bets=self._bets.size, kind=_TESTS[self.test]
        )
        self._counts = {"used": 0, "ignored": 0, "alarms": 0}

    def update(self, record: Record, /) -> Evidence | None:
        """Bet on one record; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        pays = self._bets.paid(record)
        if pays is None:
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        account = self._accounts.play(self._whose(record), pays)
        if account.worth < self.run_length:
            return None
        return self._alarm(record, account)

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last:
            return start
        rows, pays = self._bets.paid_block(block, start, end)
        names = block.groups(rows, "digest" if self.per == "model" else self.per)
        n = self._accounts.skip(names, pays, lambda _: self.run_length)
        if n < len(rows):
            stop = int(rows[n]) if n > 0 else start
            return self.skip(block, start, stop) if stop > start else start
        self._counts["used"] += len(rows)
        self._counts["ignored"] += end - start - len(rows)
        self._last = block.seq[end - 1]
        return end

    def evidence(self) -> dict[str, float]:
        """Evidence of every account, in nats, against the logarithm of ``run_length``."""
        return {name: one.evidence for name, one in self._accounts.accounts.items()}

    def _whose(self, record: Record) -> str:
        if self.per == "model":
            return record.digest
        return record.tenant if self.per == "tenant" else record.principal

    def _alarm(self, record: Record, account: Account) -> Evidence:
        self._counts["alarms"] += 1
        value, limit = account.evidence, log(self.run_length)
        name, played = self._whose(record)[:80], account.wealth.t
        self._accounts.renew(self._whose(record))
        whom = "the model" if self.per == "model" else f"the {self.per} {name!r}"
        return alarm(
            _CODES[self.level],
            record,
            value=value,
            limit=limit,
            message=f"{whom}: suspicion is rising (evidence {value:.1f} nats after {played} "
            f"requests; clean traffic comes this far once in {self.run_length:g} requests)",
            spec={
                "run_length": self.run_length,
                "per": self.per,
                "test": self.test,
                "whose": name,
                "requests": played,
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "accounts": self._accounts.state(),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "run-length monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, counts = state["last"], read_counts(state, self._counts)
        if type(last) is not int:
            raise DataError("the place in the stream is malformed", where="run-length monitor")
        accounts = self._accounts.restored(state["accounts"])
        self._last, self._counts, self._accounts = last, counts, accounts
