"""Tap: what the monitors learn about answered rows, written beside the requests, never before them.

A full queue drops what comes next and counts it. A thread of its own numbers the records and
writes them in batches. A process that is killed loses what waits: a hundredth of a second's worth.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import numpy as np

from hauberk.core.errors import DataError, HauberkError
from hauberk.faces.gateway.screen import drift_features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hauberk.core.record import Record
    from hauberk.guard.fingerprint import Fingerprint

_BATCH = 2048
_GATHER = 0.02  # seconds between a record's arrival and its writing: one write for many records
_PENDING_INPUTS = 256
# A thread that computes holds the event loop up for longer than a few small inputs take.
_A_FEW, _SMALL = 32, 2**15
_HELD_BYTES = 64 * 2**20
_AT_ONCE, _AT_ONCE_BYTES = 64, 2**21  # beyond what a cache holds, many at once are slower


class RecordSink(Protocol):
    """Where records end up: :class:`hauberk.adapters.local.records.RecordLog`."""

    def append(self, records: Sequence[Record]) -> None:
        """Append records in ascending order of ``seq``."""

    def last_seq(self) -> int:
        """The highest ``seq`` there; 0 if there is none."""


class Keeper(Protocol):
    """Where flagged inputs end up: :class:`hauberk.faces.gateway.quarantine.Quarantine`."""

    def keep(self, record: Record, x: NDArray[np.float32]) -> None:
        """Keep one input with its record."""


class _Waiting(NamedTuple):
    """A record, its input if it was flagged, and its input if it is still to be described."""

    record: Record
    kept: NDArray[np.float32] | None
    row: NDArray[np.float32] | None


class Tap:
    """A bounded queue of records before a :class:`RecordSink`.

    ``dropped`` is called with the number of records lost, ``failed`` with the reason when writing
    fails. With a ``mark`` records hold the fingerprints of their inputs. Inputs of flagged rows go
    to ``keeper``, at most 256 wait, later ones are not kept.
    """

    def __init__(
        self,
        sink: RecordSink,
        *,
        capacity: int,
        keeper: Keeper | None = None,
        mark: Fingerprint | None = None,
        dropped: Callable[[int], None] = lambda _: None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sink, self._capacity, self._keeper, self._mark = sink, capacity, keeper, mark
        self._dropped, self._failed = dropped, failed
        self._queue: deque[_Waiting] = deque()
        self._held = self._bare = 0  # bytes of inputs that wait; how many of the newest do
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._inputs = 0
        self._lively = False  # whether some were described where they came from since the last turn
        self._stopping = False
        self.last_seq = sink.last_seq()
        self._thread = threading.Thread(target=self._work, name="tap", daemon=True)

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def put(
        self,
        records: Sequence[Record],
        flagged: dict[int, NDArray[np.float32]],
        x: NDArray[np.float32] | None = None,
    ) -> None:
        """Queue records; ``flagged`` holds the inputs of some by position. Never waits for a disk.

        ``x`` are the inputs of the last records; their drift statistics are worked out many at
        once: here when a few small ones wait, or while too many bytes do, else when they are
        written. What does not fit is dropped and counted.
        """
        rows: list[NDArray[np.float32] | None] = [None] * len(records)
        if x is not None:
            if self._held > _HELD_BYTES:
                start = len(records) - len(x)
                records = [*records[:start], *_described(records[start:], x, self._mark)]
            else:
                rows[len(records) - len(x) :] = list(x)
        with self._lock:
            room = max(0, self._capacity - len(self._queue))
            for position, record in enumerate(records[:room]):
                kept = flagged.get(position)
                if kept is not None:
                    kept = kept if self._inputs < _PENDING_INPUTS else None
                    self._inputs += kept is not None
                row = rows[position]
                self._held += 0 if row is None else row.nbytes
                self._queue.append(_Waiting(record, kept, row))
                self._bare += row is not None
            if self._bare >= _A_FEW and x is not None and x.nbytes <= _SMALL:
                self._describe()
        if room < len(records):
            self._dropped(len(records) - room)
        if not self._wake.is_set():
            self._wake.set()

    def _describe(self) -> None:
        """Describe those of the newest that are not; the lock is held."""
        count = min(self._bare, len(self._queue))
        batch = [self._queue.pop() for _ in range(count)][::-1]
        self._held -= sum(one.row.nbytes for one in batch if one.row is not None)
        done = _complete(batch, self._mark)
        self._queue.extend(
            _Waiting(record, one.kept, None) for record, one in zip(done, batch, strict=True)
        )
        self._bare, self._lively = 0, True

    def close(self, seconds: float = 5.0) -> None:
        """Write what is queued and stop; what is not written in time is dropped and counted."""
        self._stopping = True
        self._wake.set()
        self._thread.join(seconds)
        if self._queue:
            self._dropped(len(self._queue))

    def _work(self) -> None:
        while not self._stopping or self._queue:
            self._wake.wait()
            self._wake.clear()
            if not self._stopping:
                time.sleep(_GATHER)
            # What comes meanwhile waits for the next turn: a few at a time would cost as much
            # as many, and never end.
            waiting = len(self._queue)
            if self._lively and not self._stopping:  # a few more, and they are described there
                waiting -= self._bare
                self._lively = False
            while waiting > 0 and (batch := self._take(waiting)):
                self._write(batch)
                waiting -= len(batch)
            if self._queue:
                self._wake.set()

    def _take(self, most: int) -> list[_Waiting]:
        with self._lock:
            size = min(_BATCH, most, len(self._queue))
            batch = [self._queue.popleft() for _ in range(size)]
            self._bare = min(self._bare, len(self._queue))
            self._inputs -= sum(one.kept is not None for one in batch)
            self._held -= sum(one.row.nbytes for one in batch if one.row is not None)
        return batch

    def _write(self, batch: list[_Waiting]) -> None:
        numbered = [
            msgspec.structs.replace(record, seq=self.last_seq + offset)
            for offset, record in enumerate(_complete(batch, self._mark), start=1)
        ]
        before = self.last_seq
        try:
            self._sink.append(numbered)
            self.last_seq += len(numbered)
        except (HauberkError, OSError) as error:
            self._failed(str(error))
            self._resume()
            self._dropped(max(0, before + len(batch) - self.last_seq))
            return
        self._keep(numbered, [one.kept for one in batch])

    def _resume(self) -> None:
        """After a failed append a part of the batch may be there."""
        try:
            self.last_seq = max(self.last_seq, self._sink.last_seq())
        except (HauberkError, OSError) as error:
            self._failed(str(error))

    def _keep(self, records: list[Record], inputs: list[NDArray[np.float32] | None]) -> None:
        for record, x in zip(records, inputs, strict=True):
            if self._keeper is None or x is None:
                continue
            try:
                self._keeper.keep(record, x)
            except (HauberkError, OSError) as error:
                self._failed(str(error))
                return


def _described(
    records: Sequence[Record], x: NDArray[np.float32], mark: Fingerprint | None
) -> list[Record]:
    """Records with the drift statistics of their inputs, and with their fingerprints."""
    marks = [""] * len(records) if mark is None else mark(x)
    try:
        found = drift_features(x)
    except DataError:  # beyond what the statistics can hold: told without them
        found = [[]] * len(records)
    return [
        msgspec.structs.replace(record, features=tuple(statistics), fingerprint=own)
        for record, statistics, own in zip(records, found, marks, strict=True)
    ]


def _complete(batch: list[_Waiting], mark: Fingerprint | None) -> list[Record]:
    """The records of a batch, described in runs of inputs of one shape."""
    done: list[Record] = []
    run: list[_Waiting] = []

    def flush() -> None:
        rows = [one.row for one in run if one.row is not None]
        if rows:
            done.extend(_described([one.record for one in run], np.stack(rows), mark))
        run.clear()

    for one in batch:
        first = run[0].row if run else None
        if run and (first is None or one.row is None or one.row.shape != first.shape):
            flush()
        if one.row is None:
            done.append(one.record)
            continue
        run.append(one)
        if len(run) >= min(_AT_ONCE, max(1, _AT_ONCE_BYTES // one.row.nbytes)):
            flush()
    flush()
    return done
