"""Files written whole or not at all, private by default, with a full disk told in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from hauberk.core.errors import DataError, EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIVATE = 0o600
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn the system's refusals within the block into one line about ``path``.

    A missing file passes through as it is, since it means something else to every caller.

    Raises:
        EnvironmentFault: if the disk is full, or the system refuses for another reason.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise EnvironmentFault(
                "disk full; nothing was half-written",
                where=str(path),
                hint="free some space and repeat the command",
            ) from None
        raise EnvironmentFault(
            f"the system refused: {error.strerror or error}",
            where=str(path),
            hint="check the owner and the mode of the state directory",
        ) from None


def make_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, and its parents; an existing one stays.

    Raises:
        EnvironmentFault: if the system refuses.
    """
    with faults(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Make a rename within the folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def new_file(path: Path, *, mode: int = PRIVATE, replace: bool = True) -> Iterator[BinaryIO]:
    """Write a file beside ``path`` and put it there, durably, once the block ends well.

    With ``replace`` false a file that is there already stays, and FileExistsError is raised.
    A block that fails leaves ``path`` as it was and nothing beside it.

    Raises:
        EnvironmentFault: if the disk is full, or the system refuses for another reason.
    """
    make_folder(path.parent)
    draft = path.with_name(f".{path.name[:80]}.{os.getpid()}-{secrets.token_hex(6)}.draft")
    try:
        with faults(path):
            descriptor = os.open(
                draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE
            )
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
        _settle(draft, path, replace=replace)
    finally:
        with suppress(OSError):
            draft.unlink()


def _settle(draft: Path, path: Path, *, replace: bool) -> None:
    if not replace:
        os.link(draft, path)  # unlike a rename, this fails where a file is there already
    with faults(path):
        if replace:
            draft.replace(path)
        sync_folder(path.parent)


def write_file(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Replace a file's content, whole or not at all, durably.

    Raises:
        EnvironmentFault: if the disk is full, or the system refuses for another reason.
    """
    with new_file(path, mode=mode) as file:
        file.write(data)


def create_file(path: Path, data: bytes, *, mode: int = PRIVATE) -> bool:
    """Write a file unless there is one; return whether this call wrote it.

    Raises:
        EnvironmentFault: if the disk is full, or the system refuses for another reason.
    """
    try:
        with new_file(path, mode=mode, replace=False) as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


def read_file(path: Path, *, limit: int) -> bytes | None:
    """The content of a file of at most ``limit`` bytes; None if there is no such file.

    Raises:
        DataError: if the file is larger.
        EnvironmentFault: if the system refuses.
    """
    try:
        with faults(path), path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    if len(data) > limit:
        raise DataError(f"larger than {limit} bytes", where=str(path))
    return data


def append_lines(descriptor: int, data: bytes) -> None:
    """Append whole lines to an open file; if that fails, leave no part of a line.

    Whole lines written before the failure stay, since a reader may have seen them.

    Raises:
        OSError: what the system said.
    """
    start = os.lseek(descriptor, 0, os.SEEK_END)
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except BaseException:
        os.ftruncate(descriptor, start + data.rfind(b"\n", 0, written) + 1)
        raise


def drop_torn_line(descriptor: int) -> None:
    """Cut what follows the last newline: the line that a killed writer did not finish."""
    end = size = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 4096)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)


def take_lock(path: Path) -> int | None:
    """Take the exclusive lock on a lock file; its descriptor, or None if another process has it.

    The lock goes with the descriptor, or with the process.

    Raises:
        EnvironmentFault: if the file cannot be opened.
    """
    with faults(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on a lock file, waiting for it; yields its descriptor.

    The system lets go of the lock when the holder dies.

    Raises:
        EnvironmentFault: if the system refuses.
    """
    with faults(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
