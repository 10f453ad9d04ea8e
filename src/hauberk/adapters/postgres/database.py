"""One PostgreSQL database shared by several processes: durable commits, restarts ridden out."""

from __future__ import annotations

import os
import time
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import finalize

from hauberk.adapters.postgres.address import Address, load_driver
from hauberk.core.errors import ConfigError, EnvironmentFault, HauberkError, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from hauberk.adapters.sql.database import Answer, Connection

T = TypeVar("T")
REVISION = "0001"
"""The migration that this version's statements are written for."""
_WAIT = 30  # seconds for which a statement, or a writer waiting for another, may take
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds before each further try; the last repeats
# A lost connection, a server that stops or starts, a transaction to be run again.
_PASSING = ("08", "57P", "40")
# What does not heal by itself: authorisation, and a database or role that is not there.
_FOR_GOOD = ("28", "3D", "42")
_TOLD_FOR_GOOD = ("authentication failed", "does not exist", "pg_hba.conf", "certificate")


class PostgresDatabase:
    """Tables that :mod:`hauberk.adapters.postgres.migrations` made, in one database.

    Writers take turns by an advisory lock on ``table``, so that rights to insert and select are
    enough. A lost connection is opened again and the transaction repeated for ``patience``
    seconds. One connection a process, opened on first use and again after a fork; threads take
    turns.
    """

    repeats = True

    def __init__(self, url: str, *, table: str, patience: float = 15.0) -> None:
        self.address = Address.parse(url)
        self._driver = load_driver()
        self._table, self._patience = table, patience
        self._lock = RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self._owner = 0
        self._inherited: list[object] = []  # a fork's: never used here, and never closed here

    @property
    def place(self) -> str:
        """Host, port and database; no user, no password."""
        return self.address.place

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self._try(lambda connection: connection.execute(query, values).fetchall())

    def transact(self, act: Callable[[Connection], T]) -> T:
        def locked(connection: Connection) -> T:
            connection.execute(
                "SELECT pg_advisory_xact_lock(?::regclass::oid::bigint)", (self._table,)
            )
            return act(connection)

        return self._try(locked)

    def damage(self) -> str:
        """Nothing: a server checks its own pages, and says so when it reads a bad one."""
        return ""

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None

    def _try(self, act: Callable[[Connection], T]) -> T:
        """Run ``act`` in a transaction; again where the server was lost on the way."""
        deadline = time.monotonic() + self._patience
        tries = 0
        with self._lock:
            while True:
                try:
                    connection = self._open()
                    with connection.transaction():
                        return act(_Marked(connection))
                except self._driver.Error as error:
                    if not self._lost(error) or time.monotonic() >= deadline:
                        raise self._told(error) from None
                    self.close()
                time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        self._inherited += [self._connection] if self._connection else []
        self._connection = None
        connection = self.address.connect(self._driver)
        try:
            # Whatever the server's default: an acknowledged entry is on its disk.
            if connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
                connection.execute("SET synchronous_commit = on")
            connection.execute(f"SET statement_timeout = '{_WAIT}s'")
            connection.execute(f"SET lock_timeout = '{_WAIT}s'")
            self._check_tables(connection)
        except BaseException:
            connection.close()
            raise
        finalize(self, _close, connection, os.getpid())
        self._connection, self._owner = connection, os.getpid()
        return connection

    def _check_tables(self, connection: psycopg.Connection[Any]) -> None:
        hint = "`hauberk state upgrade` makes them, as a role that may create tables"
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except self._driver.errors.UndefinedTable:
            raise ConfigError("the tables are not there", where=self.place, hint=hint) from None
        if found != [(REVISION,)]:
            known = ", ".join(str(row[0]) for row in found) or "none"
            raise ConfigError(
                f"the tables are of revision {known}, not {REVISION}", where=self.place, hint=hint
            )

    def _lost(self, error: psycopg.Error) -> bool:
        """Whether another try may find the server again."""
        if self._connection is None:  # it was not even opened
            state = error.sqlstate or ""
            told = any(text in str(error) for text in _TOLD_FOR_GOOD)
            return not state.startswith(_FOR_GOOD) and not told
        state = error.sqlstate or ""
        return self._connection.closed or state.startswith(_PASSING)

    def _told(self, error: psycopg.Error) -> HauberkError:
        """One line, without the text of statements, values or credentials."""
        errors = self._driver.errors
        line = (error.diag.message_primary or str(error).splitlines()[0] or "no reason")[:200]
        if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
            return Untrusted(
                f"what is stored is damaged: {line}",
                where=self.place,
                hint="restore it from a backup",
            )
        hint = "is the server running, and may this role insert and select there?"
        if isinstance(error, errors.DiskFull):
            hint = "free some space on the server and repeat the command"
        return EnvironmentFault(f"the database refused: {line}", where=self.place, hint=hint)


def _close(connection: psycopg.Connection[Any], owner: int) -> None:
    """Close a connection, but not its parent's."""
    if owner == os.getpid():
        connection.close()


class _Marked:
    """A connection whose statements mark values by ``?``, as SQLite's do."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, query: str, values: tuple[Any, ...] = (), /) -> Answer:
        # No statement of ours holds a literal question or per cent mark.
        return self._connection.execute(query.replace("?", "%s").encode(), values)
