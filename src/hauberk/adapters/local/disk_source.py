"""Files and folders on disk as sources for vetting: read where asked, never held as a whole.

Reads go by position instead of a mapping: a file that shrinks while it is read then is short, and
does not kill the process; and pages that were read do not count as its memory.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})


class DiskSource:
    """An open file; ``size`` is that at opening."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, at: int, length: int, /) -> bytes:
        """The bytes from ``at`` on; fewer only at the end."""
        wanted = max(0, min(length, self.size - at))
        return os.pread(self._descriptor, wanted, at) if wanted else b""


@contextmanager
def opened(path: Path) -> Iterator[DiskSource]:
    """Open a regular file for reading; devices and pipes are refused, not waited for.

    Raises:
        OSError: if the system refuses.
        UserError: if it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UserError("not a regular file", where=str(path))
        yield DiskSource(descriptor)
    finally:
        os.close(descriptor)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that are named, and those in the folders that are named, in order of name.

    Links within folders are not followed; version control and caches are left out.

    Raises:
        UserError: if a path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from _within(path)
        elif path.exists():
            yield path
        else:
            raise UserError("no such file or folder", where=str(path))


def _within(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            yield Path(root, name)
