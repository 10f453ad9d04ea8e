"""The loop's journal in tables: turns that are never changed, and one snapshot per service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from hauberk.adapters.sql.database import Connection, SqlDatabase

MAX_BYTES = 64 * 2**20
MAX_NAME = 256


class SqlJournal:
    """A :class:`hauberk.core.ports.Journal`; it may share its database with the ledger."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def write(self, service: str, turn: bytes, *, at: float) -> int:
        """Append a turn, on the disk when this returns; return its number from 0.

        Raises:
            DataError: if the turn or the service's name is too large.
            EnvironmentFault: if the disk is full.
        """
        _check(service, turn)
        once = uuid4().hex if self._database.repeats else None

        def append(connection: Connection) -> Any:
            if once:
                found = connection.execute(
                    "SELECT number FROM turns WHERE once = ?", (once,)
                ).fetchone()
                if found:
                    return found[0]
            (number,) = connection.execute(
                "SELECT coalesce(max(number) + 1, 0) FROM turns WHERE service = ?", (service,)
            ).fetchone()
            columns, values = "service, number, at, turn", (service, number, float(at), turn)
            if once:
                columns, values = f"{columns}, once", (*values, once)  # type: ignore[assignment]
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO turns ({columns}) VALUES ({marks})", values)  # noqa: S608
            return number

        return int(self._database.transact(append))

    def read(self, service: str) -> list[bytes]:
        rows = self._database.rows(
            "SELECT turn FROM turns WHERE service = ? ORDER BY number", (service,)
        )
        return [bytes(turn) for (turn,) in rows]

    def save(self, service: str, snapshot: bytes) -> None:
        _check(service, snapshot)
        self._database.transact(
            lambda connection: connection.execute(
                "INSERT INTO snapshots (service, snapshot) VALUES (?, ?) "
                "ON CONFLICT (service) DO UPDATE SET snapshot = excluded.snapshot",
                (service, snapshot),
            )
        )

    def saved(self, service: str) -> bytes | None:
        rows = self._database.rows("SELECT snapshot FROM snapshots WHERE service = ?", (service,))
        return bytes(rows[0][0]) if rows else None

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self._database.close()


def _check(service: str, data: bytes) -> None:
    if not 0 < len(service) <= MAX_NAME or "\0" in service:
        raise DataError(f"a service's name has 1…{MAX_NAME} characters", where="journal")
    if len(data) > MAX_BYTES:
        raise DataError(f"{len(data)} bytes, at most {MAX_BYTES}", where=f"journal: {service}")
