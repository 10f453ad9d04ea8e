"""Blobs by content: files named after their SHA-256, checked again whenever they are used."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.adapters.local.files import faults, new_file
from hauberk.core.digest import check_digest, digest_bytes, short
from hauberk.core.errors import DataError, Untrusted, UserError

if TYPE_CHECKING:
    from pathlib import Path

READ_ONLY = 0o444
_CHUNK = 1 << 20
Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class LocalStore:
    """A :class:`hauberk.core.ports.Store` in a folder; ``max_bytes`` bounds one blob.

    A file is hashed when it is first used and whenever its inode, size or times changed since.
    """

    folder: Path
    max_bytes: int = 16 * 2**30
    _seen: dict[str, Stamp] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    def put(self, data: bytes) -> str:
        self._check_size(len(data))
        digest = digest_bytes(data)
        if not self._intact(digest):
            with new_file(self._place(digest), mode=READ_ONLY) as file:
                file.write(data)
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a copy of a file; return its digest.

        Raises:
            UserError: if there is no such file, or it is not a plain one.
            DataError: if it is larger than ``max_bytes``.
            EnvironmentFault: if the disk is full.
        """
        if not path.is_file():
            raise UserError("no such file", where=str(path))
        with faults(path), path.open("rb") as source:
            self._check_size(os.fstat(source.fileno()).st_size)
            digest = self._hash(source.fileno())
            if self._intact(digest):
                return digest
            state, total = hashlib.sha256(), 0
            source.seek(0)
            with new_file(self._place(digest), mode=READ_ONLY) as file:
                while chunk := source.read(_CHUNK):
                    total += len(chunk)
                    self._check_size(total)
                    state.update(chunk)
                    file.write(chunk)
                if f"sha256:{state.hexdigest()}" != digest:
                    raise UserError("the file changed while it was copied", where=str(path))
        return digest

    def path(self, digest: str) -> Path:
        place = self._place(check_digest(digest))
        descriptor = self._open(digest, place)
        try:
            stamp = _stamp(os.fstat(descriptor))
            if self._seen.get(digest) != stamp:
                if self._hash(descriptor) != digest:
                    raise _altered(digest, place)
                self._seen[digest] = stamp
        finally:
            os.close(descriptor)
        return place

    def get(self, digest: str) -> bytes:
        place = self._place(check_digest(digest))
        descriptor = self._open(digest, place)
        with os.fdopen(descriptor, "rb") as file, faults(place):
            data = file.read()
        if digest_bytes(data) != digest:
            raise _altered(digest, place)
        return data

    def __contains__(self, digest: str) -> bool:
        return self._place(check_digest(digest)).is_file()

    def _place(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self.folder / name[:2] / name

    def _open(self, digest: str, place: Path) -> int:
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise UserError(
                f"no blob {short(digest)} in the store",
                where=str(self.folder),
                hint="`hauberk models` lists what is there",
            ) from None
        except OSError:  # a link, or no right to read: not what put() leaves
            raise _altered(digest, place) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _altered(digest, place)
        return descriptor

    def _intact(self, digest: str) -> bool:
        try:
            self.path(digest)
        except (Untrusted, UserError):
            return False
        return True

    def _hash(self, descriptor: int) -> str:
        state, offset = hashlib.sha256(), 0
        with faults(self.folder):
            while chunk := os.pread(descriptor, _CHUNK, offset):
                state.update(chunk)
                offset += len(chunk)
        return f"sha256:{state.hexdigest()}"

    def _check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise DataError(f"{size} bytes, but a blob has at most {self.max_bytes}")


def _stamp(status: os.stat_result) -> Stamp:
    """What changes with the content; the change time cannot be set back by its owner."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _altered(digest: str, place: Path) -> Untrusted:
    return Untrusted(
        f"HB-S001: blob {short(digest)} was altered",
        where=str(place),
        hint="restore the file from a backup, or remove it and register the model again",
    )
