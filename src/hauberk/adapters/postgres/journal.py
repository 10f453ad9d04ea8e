"""The loop's journal in PostgreSQL."""

from __future__ import annotations

from hauberk.adapters.postgres.database import PostgresDatabase
from hauberk.adapters.sql.journal import SqlJournal


class PostgresJournal(SqlJournal):
    """A :class:`hauberk.core.ports.Journal` in a database whose tables are migrated."""

    def __init__(self, url: str, *, patience: float = 15.0) -> None:
        super().__init__(PostgresDatabase(url, table="turns", patience=patience))
