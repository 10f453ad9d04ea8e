"""The sealed log on disk: groups of sealed lines, each ended by a signed checkpoint."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
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
from hauberk.adapters.local.files import PRIVATE, append_lines, faults, make_folder, read_file
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
    """What the writer holds open, and where the chain stands."""

    lock: int
    segment: int
    count: int
    top: bytes

    def close(self) -> None:
        for descriptor in (self.segment, self.lock):
            if descriptor >= 0:
                os.close(descriptor)
        self.segment = self.lock = -1


class SealedLog:
    """Entries in segments ``<first>.log`` of a folder; one writer, many readers.

    :meth:`commit` writes a group whole, signs it and returns once it is on the disk. A writer that
    is killed leaves at most one unfinished group, which the next one cuts off. ``head.json`` says
    how far the log had come, so that a cut at its end shows; a copy of it kept elsewhere also
    shows a cut by somebody who writes here.
    """

    def __init__(
        self, folder: Path, keys: TenantKeys, signer: Signer, *, segment_bytes: int = 16 * 2**20
    ) -> None:
        self.folder, self._keys, self._signer = folder, keys, signer
        self._segment_bytes = segment_bytes
        self._writer: _Writer | None = None

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
        """Seal, link, sign and write a group of (tenant, JSON facts); returns the new count.

        Raises:
            EnvironmentFault: if the disk is full; the group is then not in the log.
        """
        self.open()
        writer = self._writer
        assert writer is not None
        if not entries:
            return writer.count
        count, top, lines = writer.count, writer.top, []
        keys: dict[str, DataKey] = {}  # looked up once a group
        # One call for all: each lets other threads run, and then waits for its turn again.
        for (tenant, data), nonce in zip(entries, new_nonces(len(entries)), strict=True):
            count += 1
            key = keys.get(tenant)
            if key is None or key.boxes >= MOST_BOXES:
                key = keys[tenant] = self._keys.current(tenant)
            key.boxes += 1
            box = key.sealer.seal(data, about=about(count, key.id), nonce=nonce)
            top = link(top, count, key.id, box)
            lines.append(_ENCODER.encode(Entry(n=count, key=key.id, box=box, link=top.hex())))
        signed = self._signer.sign(statement(count, top, at, key=self._signer.key_id))
        head = Head(count=count, link=top.hex())
        lines.append(_ENCODER.encode(Checkpoint(count=count, checkpoint=signed)))
        with faults(self.folder):
            if os.lseek(writer.segment, 0, os.SEEK_END) >= self._segment_bytes:
                self._roll(writer, writer.count + 1)
            try:
                append_lines(writer.segment, b"\n".join(lines) + b"\n")
                os.fsync(writer.segment)
            except OSError:
                self.close()  # the next commit cuts off what is there of this group
                raise
            writer.count, writer.top = count, link_mark(top, signed)
            self._put_head(head)
        return count

    def close(self) -> None:
        """Let another process write."""
        if self._writer:
            self._writer.close()
            self._writer = None

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
        with faults(self.folder):
            lock = os.open(
                self.folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise EnvironmentFault(
                "another process writes this log", where=str(self.folder)
            ) from None
        try:
            count, top, first = self._recover()
            segment = self._open_segment(first)
        except BaseException:
            os.close(lock)
            raise
        writer = _Writer(lock=lock, segment=segment, count=count, top=top)
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
