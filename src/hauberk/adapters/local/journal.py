"""The loop's journal in a SQLite file; it may be the ledger's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.adapters.local.database import Database
from hauberk.adapters.sql.journal import SqlJournal

if TYPE_CHECKING:
    from pathlib import Path

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


class SqliteJournal(SqlJournal):
    """A :class:`hauberk.core.ports.Journal` in a file; its tables are made on first use."""

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path, _SCHEMA))
