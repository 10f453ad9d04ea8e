"""Quotas in SQLite: counts that survive a restart and that processes of one machine share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.access.quota import LEASE, spend
from hauberk.adapters.local.database import Database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.access.quota import Charge, Seat

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (key TEXT PRIMARY KEY, full_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seats (
  key TEXT NOT NULL, lease TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (key, lease)
) WITHOUT ROWID;
"""
_SWEEP = 1024


class SqliteQuotas:
    """A :class:`hauberk.access.quota.Quotas` in a file of its own; each call is a commit."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)
        # A crash of the machine may forget the newest counts; a commit then takes no disk's time.
        self._database.rows("PRAGMA synchronous=OFF")
        self._calls = 0

    def take(self, charges: Sequence[Charge], *, at: float) -> float:
        self._calls += 1
        with self._database.write() as connection:
            if self._calls % _SWEEP == 0:
                connection.execute("DELETE FROM buckets WHERE full_at <= ?", (at,))
            after, wait = [], 0.0
            for one in charges:
                row = connection.execute(
                    "SELECT full_at FROM buckets WHERE key = ?", (one.key,)
                ).fetchone()
                full_at, short = spend(row[0] if row else 0.0, one, at)
                after.append((one.key, full_at))
                wait = max(wait, short)
            if wait == 0.0:
                connection.executemany("INSERT OR REPLACE INTO buckets VALUES (?, ?)", after)
            return wait

    def enter(self, seat: Seat, *, at: float) -> bool:
        with self._database.write() as connection:
            connection.execute("DELETE FROM seats WHERE key = ? AND ends <= ?", (seat.key, at))
            (taken,) = connection.execute(
                "SELECT count(*) FROM seats WHERE key = ?", (seat.key,)
            ).fetchone()
            if taken >= seat.limit:
                return False
            connection.execute(
                "INSERT OR REPLACE INTO seats VALUES (?, ?, ?)", (seat.key, seat.lease, at + LEASE)
            )
            return True

    def leave(self, seat: Seat) -> None:
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM seats WHERE key = ? AND lease = ?", (seat.key, seat.lease)
            )
