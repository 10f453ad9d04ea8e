"""Block: many records as columns, so that monitors can pass over the quiet ones at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from hauberk.guard.features import NAMES
from hauberk.monitor import likeness

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.monitor.fold import Monitor

T = TypeVar("T")
Key = Literal["digest", "tenant", "principal"]
NAME = 256
"""Longest name of an account; longer ones are cut."""
LEAST, MOST = 64, 4096
"""Records that are looked ahead at: so many after evidence, twice as many after each success."""
_SLOWEST = 255
"""Records that go one by one, at most, before it is asked again whether some can be passed over."""


class Skips(Protocol):
    """A monitor that can fold many quiet records at once."""

    def skip(self, block: Block, start: int, end: int, /) -> int:
        """Fold records from ``start`` on, before ``end``, that are sure to bring no evidence.

        Return the place of the first that was not folded. The state is then bit for bit what
        ``update`` on each of them would have left. Passing over too few is always right.
        """


@dataclass(frozen=True)
class Accounts:
    """``codes`` ``(n, 2)`` are places in ``names``."""

    names: list[str]
    codes: NDArray[np.int64]

    def groups(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Which of ``rows`` are of each name."""
        codes = self.codes[rows].ravel()
        order = np.argsort(codes, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        return {self.names[codes[part[0]]]: rows[part // 2] for part in parts if len(part)}

    @property
    def longest(self) -> int:
        """Length of the longest name."""
        return max(map(len, self.names), default=0)


def accounts(record: Record) -> tuple[str, str]:
    """Of whom a record is: a client, and a tenant's clients together."""
    return (
        f"client/{record.tenant}/{record.principal}"[:NAME],
        f"tenant/{record.tenant}"[:NAME],
    )


class Block:
    """Records in ascending ``seq``; columns are made when first asked for, NaN for None."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self._made: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def seq(self) -> list[int]:
        """Numbers of the records."""
        return [record.seq for record in self.records]

    @cached_property
    def p_value(self) -> NDArray[np.float64]:
        """Clean p-values ``(n,)``."""
        return np.array([record.p_value for record in self.records], dtype=np.float64)

    @cached_property
    def p_benign(self) -> NDArray[np.float64]:
        """Benign p-values ``(n,)``."""
        return np.array([record.p_benign for record in self.records], dtype=np.float64)

    def p_hedges(self, count: int) -> NDArray[np.float64]:
        """Benign p-values of ``count`` hedges ``(n, count)``; NaN where another number was read."""
        none = (np.nan,) * count
        rows = [r.p_hedges if len(r.p_hedges) == count else none for r in self.records]
        return np.array(rows, dtype=np.float64).reshape(len(rows), count)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives, made once for the block by that key."""
        if key not in self._made:
            self._made[key] = make()
        out: T = self._made[key]
        return out

    @cached_property
    def features(self) -> NDArray[np.float64]:
        """Input statistics ``(n, 12)``; NaN where there are others."""
        none = (np.nan,) * len(NAMES)
        rows = [r.features if len(r.features) == len(NAMES) else none for r in self.records]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES))

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """Where there are as many statistics as there should be ``(n,)``."""
        return np.array([len(r.features) == len(NAMES) for r in self.records], dtype=np.bool_)

    @cached_property
    def has_p(self) -> NDArray[np.bool_]:
        """Where there is a clean p-value ``(n,)``."""
        return np.array([r.p_value is not None for r in self.records], dtype=np.bool_)

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Where the statistics are there and finite ``(n,)``."""
        return np.asarray(np.isfinite(self.features).all(axis=1))

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """Labels ``(n,)``; -1 where no answer was given, or none that fits."""
        given = {"pass", "flag"}
        return np.array(
            [
                r.label if r.outcome in given and 0 <= r.label < 1 << 31 else -1
                for r in self.records
            ],
            dtype=np.int64,
        )

    @cached_property
    def refused(self) -> NDArray[np.bool_]:
        """Where the model failed ``(n,)``."""
        return np.array([record.outcome == "refuse" for record in self.records], dtype=np.bool_)

    @cached_property
    def words(self) -> NDArray[np.uint64] | None:
        """Fingerprints ``(n, words)``; None where one is missing or malformed."""
        return likeness.words([record.fingerprint for record in self.records])

    @cached_property
    def marks(self) -> list[int]:
        """Fingerprints as numbers, where all are well formed."""
        return [int(record.fingerprint, 16) for record in self.records]

    @cached_property
    def accounts(self) -> Accounts:
        """Of whom each record is: a client, and a tenant's clients together."""
        known: dict[str, int] = {}
        codes = [
            known.setdefault(name, len(known))
            for record in self.records
            for name in accounts(record)
        ]
        return Accounts(list(known), np.array(codes, dtype=np.int64).reshape(-1, 2))

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """Where there are statistics of an input that was not refused ``(n,)``."""
        return self.fits & ~self.refused

    @cached_property
    def latency(self) -> NDArray[np.float64]:
        """Milliseconds ``(n,)``."""
        return np.array([record.latency_ms for record in self.records], dtype=np.float64)

    def groups(self, rows: NDArray[np.int64], of: Key) -> dict[str, NDArray[np.int64]]:
        """Places in ``rows`` by what the record says ``of`` itself, in the order of the first."""
        codes, names = self.once(("codes", of), lambda: self._coded(of))
        codes = codes[rows]
        order = np.argsort(codes, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(rows) else []
        parts.sort(key=lambda part: int(part[0]))
        return {names[codes[part[0]]]: part for part in parts}

    def _coded(self, of: Key) -> tuple[NDArray[np.int64], list[str]]:
        known: dict[str, int] = {}
        codes = [known.setdefault(getattr(one, of), len(known)) for one in self.records]
        return np.array(codes, dtype=np.int64), list(known)


class Reader:
    """Folds blocks through one monitor: ``skip`` where there is one, ``update`` for the rest.

    With ``resets`` a monitor that can begins a new run after evidence.
    """

    def __init__(self, monitor: Monitor, *, resets: bool = True) -> None:
        self.monitor = monitor
        self._skip = getattr(monitor, "skip", None)
        self._reset = getattr(monitor, "reset", None) if resets else None
        self._ahead, self._slow = LEAST, 0

    def read(self, block: Block) -> list[tuple[int, Evidence]]:
        """The evidence, each with its place in the block."""
        found, at, slow = [], 0, self._slow
        while at < len(block):
            if self._skip is not None and not slow:
                end = min(len(block), at + self._ahead)
                reached = self._skip(block, at, end)
                self._ahead = min(MOST, 2 * self._ahead) if reached == end else LEAST
                # Where nothing can be passed over, ask less and less often.
                self._slow = 0 if reached > at else min(_SLOWEST, 2 * self._slow + 1)
                at, slow = reached, self._slow
                if at == end:
                    continue
            evidence = self.monitor.update(block.records[at])
            at, slow = at + 1, max(0, slow - 1)
            if evidence is not None:
                found.append((at - 1, evidence))
                if self._reset is not None:
                    self._reset()
        return found
