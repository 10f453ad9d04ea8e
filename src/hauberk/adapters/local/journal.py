"""The loop's journal in SQLite: turns that are never changed, and one snapshot per service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.adapters.local.database import Database
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 64 * 2**20
MAX_NAME = 256
_SCHEMA = """
CREATE TABLE IF NOT EXISTS turns (
    service TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, turn BLOB NOT NULL,
    PRIMARY KEY (service, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (
    service TEXT PRIMARY KEY, snapshot BLOB NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS turns_no_update BEFORE UPDATE ON turns
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS turns_no_delete BEFORE DELETE ON turns
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


class SqliteJournal:
    """A :class:`hauberk.core.ports.Journal`; it may share its file with the ledger."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    def write(self, service: str, turn: bytes, *, at: float) -> int:
        """Append a turn, on the disk when this returns; return its number from 0.

        Raises:
            DataError: if the turn or the service's name is too large.
            EnvironmentFault: if the disk is full.
        """
        _check(service, turn)
        with self._database.write() as connection:
            (number,) = connection.execute(
                "SELECT coalesce(max(number) + 1, 0) FROM turns WHERE service = ?", (service,)
            ).fetchone()
            connection.execute(
                "INSERT INTO turns (service, number, at, turn) VALUES (?, ?, ?, ?)",
                (service, number, float(at), turn),
            )
        return int(number)

    def read(self, service: str) -> list[bytes]:
        rows = self._database.rows(
            "SELECT turn FROM turns WHERE service = ? ORDER BY number", (service,)
        )
        return [bytes(turn) for (turn,) in rows]

    def save(self, service: str, snapshot: bytes) -> None:
        _check(service, snapshot)
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO snapshots (service, snapshot) VALUES (?, ?) "
                "ON CONFLICT (service) DO UPDATE SET snapshot = excluded.snapshot",
                (service, snapshot),
            )

    def saved(self, service: str) -> bytes | None:
        rows = self._database.rows("SELECT snapshot FROM snapshots WHERE service = ?", (service,))
        return bytes(rows[0][0]) if rows else None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._database.close()


def _check(service: str, data: bytes) -> None:
    if not 0 < len(service) <= MAX_NAME:
        raise DataError(f"a service's name has 1…{MAX_NAME} characters", where="journal")
    if len(data) > MAX_BYTES:
        raise DataError(f"{len(data)} bytes, at most {MAX_BYTES}", where=f"journal: {service}")
