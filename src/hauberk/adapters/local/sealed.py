"""The sealed log on disk: groups of sealed lines, each ended by a signed checkpoint."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import finalize

import msgspec

from hauberk.access.chain import (
    GENESIS,
    Audit,
    Checkpoint,
    Entry,
    Head,
    about,
    link,
    link_mark,
    numbered,
    parse,
    statement,
)
from hauberk.access.envelope import MOST_BOXES, new_nonces
from hauberk.adapters.local.files import (
    PRIVATE,
    append_lines,
    faults,
    make_folder,
    read_file,
    take_lock,
)
from hauberk.core.errors import EnvironmentFault, Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hauberk.adapters.local.tenant_keys import DataKey, TenantKeys
    from hauberk.core.ports import Signer

_ENCODER = msgspec.json.Encoder()
_MAX_HEAD = 4096


@dataclass(frozen=True)
class Opened:
    """One entry as it is read back; ``facts`` is None where its tenant was erased."""

    n: int
    tenant: str
    facts: dict[str, Any] | None


@dataclass
class _Writer:
    """What the writer holds open, where the chain stands, and what of it is not written yet."""

    lock: int
    segment: int
    count: int
    top: bytes
    written: int
    lines: list[bytes] = field(default_factory=list)
    keys: dict[str, DataKey] = field(default_factory=dict)  # looked up once a group

    def close(self) -> None:
        for descriptor in (self.segment, self.lock):
            if descriptor >= 0:
                os.close(descriptor)
        self.segment = self.lock = -1


class SealedLog:
    """Entries in segments ``<first>.log`` of a folder; one writer, many readers.

    :meth:`seal` adds to a group in memory; :meth:`flush`, which another thread may call, signs it,
    writes it whole and returns once it is on the disk. A writer that is killed leaves at most one
    unfinished group, which the next one cuts off. ``head.json`` says how far the log had come, so
    that a cut at its end shows; a copy of it kept elsewhere also shows a cut by somebody who
    writes here.
    """

    def __init__(
        self, folder: Path, keys: TenantKeys, signer: Signer, *, segment_bytes: int = 16 * 2**20
    ) -> None:
        self.folder, self._keys, self._signer = folder, keys, signer
        self._segment_bytes = segment_bytes
        self._writer: _Writer | None = None
        self._chain = threading.Lock()

    def open(self) -> int:
        """Become the writer; returns how many entries there are.

        Raises:
            EnvironmentFault: if another process writes here, or the system refuses.
            Untrusted: if the end of the log is not what a checkpoint and the head say.
        """
        if self._writer is None:
            self._writer = self._open()
        return self._writer.count

    def commit(self, entries: Sequence[tuple[str, bytes]], *, at: float) -> int:
        """Seal and flush a group of (tenant, JSON facts); returns the new count.

        Raises:
            EnvironmentFault: if the disk is full; the group is then not in the log.
        """
        self.open()
        self.seal(entries)
        return self.flush(at=at)

    def seal(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Seal and link (tenant, JSON facts); they are kept by the next :meth:`flush`.

        Raises:
            EnvironmentFault: if the log is not open, or a tenant's key cannot be had.
        """
        # One call for all: each lets other threads run, and then waits for its turn again.
        nonces = new_nonces(len(entries))
        with self._chain:
            writer = self._writer
            if writer is None:
                raise EnvironmentFault("not open", where=str(self.folder))
            for tenant in {tenant for tenant, _ in entries}:  # all first: then none fails halfway
                known = writer.keys.get(tenant)
                if known is None or known.boxes >= MOST_BOXES:
                    writer.keys[tenant] = self._keys.current(tenant)
            for (tenant, data), nonce in zip(entries, nonces, strict=True):
                key = writer.keys[tenant]
                key.boxes += 1
                writer.count += 1
                number = writer.count
                box = key.sealer.seal(data, about=about(number, key.id), nonce=nonce)
                writer.top = link(writer.top, number, key.id, box)
                entry = Entry(n=number, key=key.id, box=box, link=writer.top.hex())
                writer.lines.append(_ENCODER.encode(entry))

    def flush(self, *, at: float) -> int:
        """Sign and write what was sealed; returns the new count.

        Raises:
            EnvironmentFault: if the disk is full; nothing that was not flushed is then in the log.
        """
        self.open()
        with self._chain:
            writer = self._writer
            assert writer is not None
            lines, writer.lines = writer.lines, []
            if not lines:
                return writer.written
            count, top, first = writer.count, writer.top, writer.written + 1
            writer.keys = {}
            signed = self._signer.sign(statement(count, top, at, key=self._signer.key_id))
            writer.top, writer.written = link_mark(top, signed), count
        lines.append(_ENCODER.encode(Checkpoint(count=count, checkpoint=signed)))
        with faults(self.folder):
            try:
                if os.lseek(writer.segment, 0, os.SEEK_END) >= self._segment_bytes:
                    self._roll(writer, first)
                append_lines(writer.segment, b"\n".join(lines) + b"\n")
                os.fsync(writer.segment)
            except OSError:
                self.close()  # whoever opens it next cuts off what is there of this group
                raise
            self._put_head(Head(count=count, link=top.hex()))
        return count

    def close(self) -> None:
        """Let another process write; what was not flushed is lost."""
        with self._chain:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def audit(self, *, head: Head | None = None) -> Audit:
        """Check the whole log, against the head kept here or, if one is given, another.

        Raises:
            EnvironmentFault: if it cannot be read.
        """
        return Audit(self._signer.verify, head or self.head()).read(self.lines())

    def read(self, after: int = 0) -> Iterator[Opened]:
        """Entries after a number, opened.

        Raises:
            Untrusted: if one does not open, though its tenant's keys are there.
        """
        for where, line in self.lines():
            found = parse(line)
            if not isinstance(found, Entry) or found.n <= after:
                continue
            known = self._keys.find(found.key)
            if known is None:
                yield Opened(found.n, "", None)
                continue
            try:
                data = known[1].open(found.box, about=about(found.n, found.key))
            except Untrusted as error:
                raise Untrusted(error.what, where=where) from None
            yield Opened(found.n, known[0], msgspec.json.decode(data))

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """All lines with their places."""
        for first in self._firsts():
            path = self._path(first)
            with faults(path), path.open("rb") as file:
                yield from numbered(path.name, file)

    def head(self) -> Head | None:
        """How far the log had come at the last commit; None if there was none.

        Raises:
            Untrusted: if the file cannot be read as one.
        """
        path = self.folder / "head.json"
        data = read_file(path, limit=_MAX_HEAD)
        return None if data is None else read_head(data, where=str(path))

    def _open(self) -> _Writer:
        make_folder(self.folder)
        lock = take_lock(self.folder / "writer.lock")
        if lock is None:
            raise EnvironmentFault(
                "another process writes this log",
                where=str(self.folder),
                hint="one gateway per state directory; stop the other one",
            )
        try:
            count, top, first = self._recover()
            segment = self._open_segment(first)
        except BaseException:
            os.close(lock)
            raise
        writer = _Writer(lock=lock, segment=segment, count=count, top=top, written=count)
        finalize(self, writer.close)
        return writer

    def _recover(self) -> tuple[int, bytes, int]:
        """Count, top and segment of the last checkpoint; cuts off the group that follows it."""
        count, top, first = 0, GENESIS, 1
        for first in reversed(self._firsts()):
            path = self._path(first)
            data = path.read_bytes()
            start = max(0, data.rfind(b'\n{"count"') + 1) if data else 0
            end = data.find(b"\n", start) + 1
            if end and data.startswith(b'{"count"', start):
                mark = parse(data[start:end])
                if not isinstance(mark, Checkpoint):
                    raise self._distrust(f"the last checkpoint of {path.name} cannot be read")
                said = self._signer.verify(mark.checkpoint)
                count = int(said["count"])
                top = link_mark(bytes.fromhex(said["link"]), mark.checkpoint)
                if end < len(data):
                    os.truncate(path, end)
                break
            if start or first > 1:
                path.unlink()  # begun by a group that was never finished
            else:
                os.truncate(path, 0)
        head = self.head()
        if head is not None and head.count > count:
            raise self._distrust(f"it ends at entry {count}, but had come to {head.count}")
        return count, top, first

    def _distrust(self, why: str) -> Untrusted:
        return Untrusted(
            f"the sealed log was cut or altered: {why}",
            where=str(self.folder),
            hint="`hauberk log verify` says where; move the folder away to begin a new log",
        )

    def _open_segment(self, first: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with faults(self.folder):
            return os.open(self._path(first), flags, PRIVATE)

    def _roll(self, writer: _Writer, first: int) -> None:
        segment = self._open_segment(first)
        os.close(writer.segment)
        writer.segment = segment

    def _put_head(self, head: Head) -> None:
        # After the log's own sync, and not synced itself: it may lag behind, never run ahead.
        draft = self.folder / ".head.draft"
        draft.touch(mode=PRIVATE)
        draft.write_bytes(_ENCODER.encode(head))
        draft.replace(self.folder / "head.json")

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:020d}.log"

    def _firsts(self) -> list[int]:
        names = (path.stem for path in self.folder.glob("*.log"))
        return sorted(int(name) for name in names if name.isdecimal())


def read_head(data: bytes, *, where: str) -> Head:
    """A head from its JSON.

    Raises:
        Untrusted: if it is none.
    """
    try:
        return msgspec.json.decode(data, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Untrusted("not a log's head", where=where) from None
