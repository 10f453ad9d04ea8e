"""The ledger in a SQLite file, for the processes of one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.adapters.local.database import Database
from hauberk.adapters.sql.ledger import SqlLedger

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    body TEXT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL, once TEXT UNIQUE
) STRICT;
CREATE INDEX IF NOT EXISTS ledger_subject ON ledger (subject, kind);
CREATE TABLE IF NOT EXISTS tree (number INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS tree_no_update BEFORE UPDATE ON tree
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS tree_no_delete BEFORE DELETE ON tree
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


class SqliteLedger(SqlLedger):
    """A :class:`hauberk.core.ports.Ledger` in a file; its tables are made on first use."""

    _database: Database

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path, _SCHEMA))
