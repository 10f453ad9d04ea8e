"""GaugeMonitor: the accuracy as it most likely is, while no one has labelled anything."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.record import Record
from hauberk.guard.signals import Window, complete, signals
from hauberk.monitor.alarm import alarm
from hauberk.monitor.fold import State, read_counts, read_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.guard.calibration import Calibration
    from hauberk.guard.gauge import Gauge
    from hauberk.monitor.block import Block


@dataclass(kw_only=True, eq=False)
class GaugeMonitor:
    """Reads the gauge over every full window of requests, half a window apart.

    Evidence HB-D011 where the upper end of the estimate's interval is below ``limit``, a fraction,
    and again only after it was not. Requests that lack a signal are counted and passed over.

    Raises:
        UserError: if ``limit`` is outside [0, 1].
    """

    gauge: Gauge
    calibration: Calibration
    limit: float = 0.8
    _last: int = field(init=False, default=-1, repr=False)
    _low: bool = field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.limit <= 1.0:
            raise UserError(f"limit is a fraction in [0, 1], not {self.limit}")
        self._counts = {"used": 0, "ignored": 0, "since": 0}
        self._recent: deque[Record] = deque(maxlen=self.gauge.window)
        self._latest: tuple[float, tuple[float, float]] | None = None

    def accuracy(self) -> tuple[float, tuple[float, float]] | None:
        """The last estimate and its 90 % interval; None before the first full window."""
        return self._latest

    def update(self, record: Record, /) -> Evidence | None:
        """Take one record; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        if not _counts(record):
            self._counts["ignored"] += 1
            return None
        self._counts["used"] += 1
        self._counts["since"] += 1
        self._recent.append(record)
        window = self.gauge.window
        if len(self._recent) < window or self._counts["since"] < max(1, window // 2):
            return None
        self._counts["since"] = 0
        self._latest = self._read()
        value, interval = self._latest
        was, self._low = self._low, interval[1] < self.limit
        return self._say(record, value, interval) if self._low and not was else None

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`, up to the record that completes a window."""
        if block.seq[start] <= self._last:
            return start
        window, usable = self.gauge.window, block.once("gauge", lambda: _usable(block))
        rows = np.flatnonzero(usable[start:end])
        left = max(window - len(self._recent), max(1, window // 2) - self._counts["since"])
        if len(rows) >= left:
            end, rows = start + int(rows[max(0, left - 1)]), rows[: max(0, left - 1)]
        if end > start:
            self._counts["used"] += len(rows)
            self._counts["since"] += len(rows)
            self._counts["ignored"] += end - start - len(rows)
            self._recent.extend(block.records[start + row] for row in rows.tolist())
            self._last = block.seq[end - 1]
        return end

    def _read(self) -> tuple[float, tuple[float, float]]:
        return self.gauge.estimate(signals(Window.of(list(self._recent)), self.calibration))

    def _say(self, record: Record, value: float, interval: tuple[float, float]) -> Evidence:
        blind = ", ".join(self.gauge.blind) or "none found"
        return alarm(
            "HB-D011",
            record,
            value=value,
            limit=self.limit,
            interval=interval,
            message=f"accuracy is estimated at {value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}] "
            f"over {self.gauge.window} requests, without labels; blind to: {blind}"[:500],
            spec={
                "window": self.gauge.window,
                "error": self.gauge.error,
                "blind": sorted(self.gauge.blind),
            },
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "low": self._low,
            "latest": None if self._latest is None else [self._latest[0], *self._latest[1]],
            "recent": msgspec.json.decode(msgspec.json.encode(list(map(_lean, self._recent)))),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "gauge monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, low = state["last"], state["low"]
        counts = read_counts(state, self._counts)
        if type(last) is not int or type(low) is not bool:
            raise DataError("the place in the stream is malformed", where="gauge monitor")
        try:
            recent = msgspec.convert(state["recent"], list[Record])
        except msgspec.ValidationError as error:
            raise DataError(f"a record is malformed: {error}", where="gauge monitor") from None
        latest = None
        if state["latest"] is not None:
            value, below, above = map(float, state["latest"])
            latest = value, (below, above)
        if len(recent) > self.gauge.window or not all(complete(one) for one in recent):
            raise DataError("records do not fit", where="gauge monitor")
        self._last, self._low, self._counts = last, low, counts
        self._recent = deque(recent, maxlen=self.gauge.window)
        self._latest = latest


def _counts(record: Record) -> bool:
    return record.outcome in {"pass", "flag"} and complete(record)


def _usable(block: Block) -> NDArray[np.bool_]:
    """Which records count ``(n,)``, as :func:`_counts` says of one."""
    given = [
        one.outcome in {"pass", "flag"}
        and one.twin_label is not None
        and one.confidence is not None
        and one.score is not None
        and one.p_benign is not None
        for one in block.records
    ]
    return np.array(given, dtype=np.bool_) & block.has_p & block.fits


def _lean(record: Record) -> Record:
    """What the signals need of a record, and nothing that a client can make long."""
    return msgspec.structs.replace(
        record, id="", principal="", policy="", tenant="", fingerprint=""
    )
