"""The gateway's tap on disk: segments of JSON lines, one writer, many readers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import finalize

import msgspec

from hauberk.adapters.local.files import (
    PRIVATE,
    append_lines,
    drop_torn_line,
    faults,
    make_folder,
    take_lock,
)
from hauberk.core.errors import DataError, EnvironmentFault
from hauberk.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)
_CHUNK = 1 << 20


class _Position(msgspec.Struct):
    """The one field that a reader needs to pass over a line."""

    seq: int


_SEQ = msgspec.json.Decoder(_Position)


@dataclass
class _Writer:
    """What the writer holds open: the lock, the newest segment and its last number."""

    lock: int
    segment: int
    last: int

    def close(self) -> None:
        """Let go of both, once."""
        for descriptor in (self.segment, self.lock):
            if descriptor >= 0:
                os.close(descriptor)
        self.segment = self.lock = -1


@dataclass(frozen=True)
class _Cursor:
    """Where a reader stopped: the byte after record ``seq`` in segment ``first``."""

    seq: int
    first: int
    offset: int


class RecordLog:
    """A :class:`hauberk.core.ports.RecordSource` in a folder, bounded in size.

    A segment is named after the first ``seq`` in it; once it holds ``segment_bytes`` the next is
    begun, and beyond ``segments`` of them the oldest is dropped, so that a reader that is too slow
    finds a gap in ``seq``. What :meth:`append` returned from survives the death of the process,
    not that of the machine. ``damaged`` counts whole lines that could not be read and were passed
    over.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = 4 * 2**20, segments: int = 64) -> None:
        self.folder, self.segment_bytes, self.segments = folder, segment_bytes, max(2, segments)
        self.damaged = 0
        self._writer: _Writer | None = None
        self._cursor: _Cursor | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Append records whose ``seq`` goes up, each above :meth:`last_seq`.

        After a fault the whole lines that were written stay; ``last_seq`` tells how many.

        Raises:
            DataError: if a ``seq`` is below 1 or does not go up.
            EnvironmentFault: if the disk is full, or another process writes here.
        """
        if not records:
            return
        writer = self._writer = self._writer or self._open_writer()
        last = writer.last
        for record in records:
            if record.seq <= last:
                raise DataError(f"record {record.seq} after record {last}", where=str(self.folder))
            last = record.seq
        lines = b"".join(_ENCODER.encode(record) + b"\n" for record in records)
        with faults(self.folder):
            try:
                if os.lseek(writer.segment, 0, os.SEEK_END) >= self.segment_bytes:
                    self._roll(writer, records[0].seq)
                append_lines(writer.segment, lines)
            except OSError:
                self.close()  # the next append reads the last number anew
                raise
        writer.last = last

    def read(self, after: int, limit: int) -> list[Record]:
        """At most ``limit`` records with ``seq`` above ``after``, ascending.

        Cheap where it goes on from the last call; otherwise one segment is searched.
        """
        found: list[Record] = []
        cursor = self._cursor if self._cursor and self._cursor.seq == after else None
        firsts = self._firsts()
        start = cursor.first if cursor else max((f for f in firsts if f <= after + 1), default=0)
        for first in (f for f in firsts if f >= start):
            offset = cursor.offset if cursor and cursor.first == first else 0
            for line, end in self._lines(first, offset):
                if len(found) >= limit:
                    return found
                seq = found[-1].seq if found else after
                if record := self._parse(line, seq):
                    found.append(record)
                    seq = record.seq
                self._cursor = _Cursor(seq=seq, first=first, offset=end)
        return found

    def last_seq(self) -> int:
        """The highest ``seq`` on the disk; 0 if there is none."""
        if self._writer:
            return self._writer.last
        for first in reversed(self._firsts()):
            last = 0
            for line, _ in self._lines(first, 0):
                last = max(last, self._seq(line) or 0)
            if last:
                return last
        return 0

    def close(self) -> None:
        """Let another process write; the next append opens the log again."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def _open_writer(self) -> _Writer:
        make_folder(self.folder)
        lock = take_lock(self.folder / "writer.lock")
        if lock is None:
            raise EnvironmentFault(
                "another process writes these records",
                where=str(self.folder),
                hint="one gateway per state directory; stop the other one",
            )
        try:
            last = self.last_seq()
            firsts = self._firsts()
            segment = self._open_segment(firsts[-1] if firsts else 1)
            drop_torn_line(segment)
        except BaseException:
            os.close(lock)
            raise
        writer = _Writer(lock=lock, segment=segment, last=last)
        finalize(self, writer.close)
        return writer

    def _open_segment(self, first: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with faults(self.folder):
            return os.open(self._segment(first), flags, PRIVATE)

    def _roll(self, writer: _Writer, first: int) -> None:
        segment = self._open_segment(first)
        os.close(writer.segment)
        writer.segment = segment
        for old in self._firsts()[: -self.segments]:
            self._segment(old).unlink(missing_ok=True)

    def _segment(self, first: int) -> Path:
        return self.folder / f"{first:020d}.jsonl"

    def _firsts(self) -> list[int]:
        names = (path.stem for path in self.folder.glob("*.jsonl"))
        return sorted(int(name) for name in names if name.isdecimal())

    def _lines(self, first: int, offset: int) -> Iterator[tuple[bytes, int]]:
        """Whole lines from ``offset`` on, each with the offset of its end."""
        try:
            with faults(self.folder), self._segment(first).open("rb", buffering=_CHUNK) as file:
                file.seek(offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # torn, or still being written
                    offset += len(line)
                    yield line, offset
        except FileNotFoundError:
            return  # dropped by the writer since the folder was listed

    def _seq(self, line: bytes) -> int | None:
        try:
            return _SEQ.decode(line).seq
        except (msgspec.DecodeError, RecursionError):
            return None

    def _parse(self, line: bytes, after: int) -> Record | None:
        seq = self._seq(line)
        if seq is not None and seq <= after:
            return None
        try:
            return _DECODER.decode(line)
        except (msgspec.DecodeError, RecursionError):
            self.damaged += 1
            return None
