"""What gateways of one machine know together, in SQLite: records, orders, what a watch learned."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hauberk.adapters.kept import FORGET, check_size, numbered, packed
from hauberk.adapters.local.database import Database
from hauberk.core.ports import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.core.record import Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
  seq INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS logs (
  log TEXT PRIMARY KEY, last INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cells (
  name TEXT PRIMARY KEY, version INTEGER NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
"""
_LAST = "SELECT max(seq) FROM records"


class SqliteGuardState:
    """A :class:`hauberk.core.ports.GuardState` in a file of its own; each call is a commit.

    Records are numbered from the microseconds of the clock on, above what was numbered elsewhere.
    """

    def __init__(self, path: Path, *, room: int) -> None:
        self._database, self._room = Database(path, _SCHEMA), room
        # A crash of the machine may forget the newest; a commit then takes no disk's time.
        self._database.rows("PRAGMA synchronous=OFF")

    def tell(self, log: str, records: Sequence[Record]) -> int:
        at = time.time()
        with self._database.write() as connection:
            row = connection.execute("SELECT last FROM logs WHERE log = ?", (log,)).fetchone()
            last = row[0] if row else 0
            fresh = [record for record in records if record.seq > last]
            if not fresh:
                return int(last)
            number = connection.execute(_LAST).fetchone()[0] or int(at * 1e6)
            rows = [(number + place, packed(one)) for place, one in enumerate(fresh, start=1)]
            connection.executemany("INSERT INTO records VALUES (?, ?)", rows)
            last = fresh[-1].seq
            connection.execute("INSERT OR REPLACE INTO logs VALUES (?, ?, ?)", (log, last, at))
            connection.execute("DELETE FROM logs WHERE at < ?", (at - FORGET,))
            connection.execute("DELETE FROM records WHERE seq <= ?", (rows[-1][0] - self._room,))
            return int(last)

    def known(self, log: str) -> int | None:
        rows = self._database.rows("SELECT last FROM logs WHERE log = ?", (log,))
        return rows[0][0] if rows else None

    def read(self, after: int, limit: int) -> list[Record]:
        rows = self._database.rows(
            "SELECT seq, record FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        )
        return [numbered(seq, data) for seq, data in rows]

    def last_seq(self) -> int:
        [(last,)] = self._database.rows(_LAST)
        return last or 0

    def cell(self, name: str) -> Cell:
        rows = self._database.rows("SELECT version, data FROM cells WHERE name = ?", (name,))
        return Cell(*rows[0]) if rows else Cell()

    def put(self, name: str, data: bytes, *, over: int | None = None) -> int | None:
        check_size(name, data)
        with self._database.write() as connection:
            row = connection.execute("SELECT version FROM cells WHERE name = ?", (name,)).fetchone()
            version = row[0] if row else 0
            if over is not None and over != version:
                return None
            connection.execute(
                "INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", (name, version + 1, data)
            )
            return int(version) + 1
