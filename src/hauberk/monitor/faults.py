"""FaultMonitor: what breaks without an attacker: dead sensors, wrong scaling, failing machines."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.interval import wilson
from hauberk.guard.features import NAMES
from hauberk.monitor.alarm import alarm
from hauberk.monitor.fold import State, read_counts, read_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.guard.calibration import Calibration
    from hauberk.monitor.block import Block

SIGNS: Mapping[str, tuple[str, str]] = {
    "frozen": ("HB-D009", "the same input comes again and again: a stuck sensor, or retries"),
    "blank": ("HB-D009", "inputs hold next to nothing: a covered or broken sensor"),
    "scale": ("HB-D009", "values are on another scale than calibrated: a preprocessing fault"),
    "refused": ("HB-D010", "the served model fails on what it is given: look at the machine"),
    "slow": ("HB-D010", "answers take far longer than they did: look at the machine"),
}
"""Sign → its rule, and what it says in words."""

_FLAT, _SCALES = 0.1, 20.0
_LEARN = 100
_SLOW = 8.0
_FEWEST, _SURE = 20, 3.3
_CONTRAST, _BRIGHTEST = NAMES.index("contrast"), NAMES.index("brightest")


@dataclass(kw_only=True, eq=False)
class FaultMonitor:
    """Share of the last ``window`` requests that show each of ``SIGNS``, against ``share``.

    Evidence HB-D009 (bad input) or HB-D010 (infrastructure), once for each sign until
    :meth:`reset`, where the lower end of the share's 99.9 % interval is above ``share``. ``frozen``
    compares with the input before, whoever sent it. ``blank`` is a contrast below a tenth of the
    lowest calibrated one, ``scale`` a brightest value 20 times off. ``slow`` is 8 times the median
    latency of the first 100 answers. Plain counts: a fault is no adversary.

    Raises:
        UserError: if a setting is out of range.
    """

    calibration: Calibration
    window: int = 200
    share: float = 0.2
    _last: int = field(init=False, default=-1, repr=False)

    def __post_init__(self) -> None:
        if self.window < _FEWEST or not 0.0 < self.share < 1.0:
            raise UserError("window must be at least 20 and share within (0, 1)")
        low, high = self.calibration.feature_low, self.calibration.feature_high
        self._flat = _FLAT * float(low[_CONTRAST].min())
        # The largest calibrated brightest value, away from the darkest.
        self._brightest = float(high[_BRIGHTEST].max())
        self._dimmest = float(low[_BRIGHTEST].min())
        self.reset()

    def reset(self) -> None:
        """Forget what was told of; the place in the stream and the usual latency are kept."""
        self._counts = {"seen": 0}
        self._told: list[str] = []
        self._recent: deque[int] = deque(maxlen=self.window)
        self._sums = [0] * len(SIGNS)
        self._before: tuple[float, ...] = ()
        self._first: list[float] = getattr(self, "_first", [])
        self._usual: float = getattr(self, "_usual", 0.1)

    def update(self, record: Record, /) -> Evidence | None:
        """Look at one record; a record whose ``seq`` is not new changes nothing."""
        if record.seq <= self._last:
            return None
        self._last = record.seq
        self._counts["seen"] += 1
        shown = self._signs(record)
        bits = sum(1 << place for place, sign in enumerate(SIGNS) if sign in shown)
        if len(self._recent) == self.window:
            self._add(self._recent[0], -1)
        self._recent.append(bits)
        self._add(bits, 1)
        for place, sign in enumerate(SIGNS):
            if sign in self._told or not bits >> place & 1:
                continue
            low, high = wilson(self._sums[place], len(self._recent), z=_SURE)
            if len(self._recent) >= _FEWEST and low > self.share:
                self._told.append(sign)
                return self._say(record, sign, self._sums[place], (low, high))
        return None

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """As :class:`hauberk.monitor.block.Skips`."""
        if block.seq[start] <= self._last or len(self._first) < _LEARN:
            return start
        every = block.once(("signs", self._usual), lambda: self._all_signs(block, start))
        if every is None:
            return start
        bits, shown = every[start:end], np.flatnonzero(block.shown[start:end])
        if not self._before:  # nothing that the first could be the same as
            bits = bits.copy()
            bits[shown[:1]] &= ~(1 << list(SIGNS).index("frozen"))
        n = self._quiet(bits)
        if n:
            self._recent.extend(bits[:n].tolist())
            self._sums = _count(np.array(self._recent))
            shown = shown[shown < n]
            if len(shown):
                self._before = block.records[start + int(shown[-1])].features
            self._counts["seen"] += n
            self._last = block.seq[start + n - 1]
        return start + n

    def _all_signs(self, block: Block, start: int) -> NDArray[np.int64] | None:
        """What all records from ``start`` on show, as bits; None where a statistic is no number."""
        rows = start + np.flatnonzero(block.shown[start:])
        x = block.features[rows]
        if not block.measured[rows].all():
            return None
        seen = np.concatenate(([self._before or [np.nan] * len(NAMES)], x))
        blank = x[:, _CONTRAST] < self._flat
        top, bottom = abs(self._brightest), abs(self._dimmest)
        bright = np.abs(x[:, _BRIGHTEST])
        off = (bright > _SCALES * max(top, 1e-9)) | (bright < bottom / _SCALES)
        bits = np.zeros((len(SIGNS), len(block)), dtype=np.bool_)
        place = {sign: number for number, sign in enumerate(SIGNS)}
        bits[place["refused"]] = block.refused
        bits[place["slow"]] = ~block.refused & (block.latency > _SLOW * self._usual)
        bits[place["frozen"], rows] = (seen[1:] == seen[:-1]).all(axis=1)
        bits[place["blank"], rows] = blank
        bits[place["scale"], rows] = off & ~blank
        return np.asarray((bits << np.arange(len(SIGNS))[:, None]).sum(axis=0))

    def _quiet(self, bits: NDArray[np.int64]) -> int:
        """How many of the next requests, which show these signs, bring no evidence."""
        before = len(self._recent)
        every = np.concatenate((np.array(self._recent, dtype=np.int64), bits))
        last = np.arange(before + 1, len(every) + 1)
        first = np.maximum(0, last - self.window)
        loud = np.zeros(len(bits), dtype=np.bool_)
        for place, sign in enumerate(SIGNS):
            if sign in self._told:
                continue
            on = every >> place & 1
            sums = np.concatenate(([0], np.cumsum(on)))
            loud |= (on[before:] == 1) & (sums[last] - sums[first] >= self._needed[last - first])
        return int(loud.argmax()) if loud.any() else len(bits)

    @cached_property
    def _needed(self) -> NDArray[np.int64]:
        """How many of n requests must show a sign for evidence, by n up to the window."""
        needed, count = [], 0
        for n in range(self.window + 1):
            while n >= _FEWEST and count <= n and wilson(count, n, z=_SURE)[0] <= self.share:
                count += 1
            needed.append(count if n >= _FEWEST else n + 1)
        return np.array(needed)

    def _signs(self, record: Record) -> set[str]:
        if record.outcome == "refuse":
            return {"refused"}
        shown = set()
        if len(self._first) < _LEARN:
            self._first.append(record.latency_ms)
            self._usual = max(median(self._first), 0.1)
        elif record.latency_ms > _SLOW * self._usual:
            shown.add("slow")
        x = record.features
        if len(x) != len(NAMES):
            return shown
        if x == self._before:
            shown.add("frozen")
        self._before = x
        if x[_CONTRAST] < self._flat:
            shown.add("blank")
        elif self._off_scale(x[_BRIGHTEST]):
            shown.add("scale")
        return shown

    def _off_scale(self, brightest: float) -> bool:
        top, bottom = abs(self._brightest), abs(self._dimmest)
        return abs(brightest) > _SCALES * max(top, 1e-9) or abs(brightest) < bottom / _SCALES

    def _add(self, bits: int, step: int) -> None:
        for place in range(len(SIGNS)):
            if bits >> place & 1:
                self._sums[place] += step

    def _say(
        self, record: Record, sign: str, count: int, interval: tuple[float, float]
    ) -> Evidence:
        code, words = SIGNS[sign]
        n = len(self._recent)
        return alarm(
            code,
            record,
            value=count / n,
            limit=self.share,
            interval=interval,
            message=f"{words} ({count} of the last {n} requests)",
            spec={"sign": sign, "n": n},
        )

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "last": self._last,
            "counts": dict(self._counts),
            "told": list(self._told),
            "recent": list(self._recent),
            "before": list(self._before),
            "first": list(self._first),
        }

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Go on from a state of a monitor of the same settings.

        Raises:
            DataError: if the state is malformed; the monitor is then as it was before.
        """
        read_state(state, self._restore, "fault monitor")

    def _restore(self, state: Mapping[str, Any]) -> None:
        last, told, recent = state["last"], state["told"], state["recent"]
        counts = read_counts(state, self._counts)
        first, before = state["first"], state["before"]
        if type(last) is not int or not all(isinstance(v, list) for v in (told, recent, first)):
            raise DataError("the place in the stream is malformed", where="fault monitor")
        if not isinstance(before, list) or not set(told) <= set(SIGNS):
            raise DataError("signs of another monitor", where="fault monitor")
        if len(recent) > self.window or len(first) > _LEARN:
            raise DataError("more requests than fit", where="fault monitor")
        if any(type(bits) is not int or not 0 <= bits < 1 << len(SIGNS) for bits in recent):
            raise DataError("a sign is malformed", where="fault monitor")
        read = tuple(float(v) for v in before), [float(v) for v in first]
        self._last, self._told, self._counts = last, list(told), counts
        self._before, self._first = read
        self._usual = max(median(self._first), 0.1) if self._first else 0.1
        self._recent, self._sums = deque(recent, maxlen=self.window), [0] * len(SIGNS)
        for bits in recent:
            self._add(bits, 1)


def _count(bits: NDArray[np.int64]) -> list[int]:
    """How many of some requests show each sign."""
    return [int(np.count_nonzero(bits & (1 << place))) for place in range(len(SIGNS))]
