"""One SQLite file shared by several processes: durable commits, faults told in one line."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import finalize

from hauberk.adapters.local.files import create_file, locked, make_folder
from hauberk.core.errors import EnvironmentFault, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
_WAIT = 30.0  # seconds for which a writer waits for another


def _text(data: bytes) -> str:
    """Text with bad bytes kept apart, so that a check finds them and names the row."""
    return data.decode("utf-8", "surrogateescape")


class Database:
    """A write-ahead-logged SQLite file with a given schema.

    A commit is on the disk when :meth:`write` ends (``synchronous=FULL``). One connection a
    process, opened on first use and again after a fork; threads take turns.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path, self._schema = path, schema
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._owner = 0

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises:
            Untrusted: if the file is damaged.
            EnvironmentFault: if it cannot be read.
        """
        with self._lock, self._faults():
            return self._open().execute(query, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer interleaves; rolled back if the block fails.

        Raises:
            Untrusted: if the file is damaged.
            EnvironmentFault: if the disk is full or the file stays locked.
        """
        with self._lock, self._faults():
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    repeats = False
    """A commit in a file either happened or did not, and the caller knows which."""

    def transact(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``act`` within :meth:`write`."""
        with self.write() as connection:
            return act(connection)

    def damage(self) -> str:
        """What SQLite's own check of the file finds; empty if nothing."""
        [(state,)] = self.rows("PRAGMA integrity_check(1)")
        return "" if state == "ok" else str(state)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        make_folder(self.path.parent)
        # Two processes that turn the log on at once would refuse each other: one after the other.
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            if not self.path.exists():
                create_file(self.path, b"")
            connection = sqlite3.connect(
                self.path, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
            finalize(self, connection.close)
            connection.text_factory = _text
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.executescript(f"BEGIN IMMEDIATE; {self._schema} COMMIT;")
        self._connection, self._owner = connection, os.getpid()
        return connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        where = str(self.path)
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise EnvironmentFault(
                    "disk full; the transaction was rolled back",
                    where=where,
                    hint="free some space and repeat the command",
                ) from None
            raise EnvironmentFault(f"the database refused: {error}", where=where) from None
        except sqlite3.DatabaseError as error:
            raise Untrusted(
                f"the file is damaged: {error}", where=where, hint="restore it from a backup"
            ) from None
