"""The ledger in PostgreSQL, for processes of many machines."""

from __future__ import annotations

from hauberk.adapters.postgres.database import PostgresDatabase
from hauberk.adapters.sql.ledger import SqlLedger


class PostgresLedger(SqlLedger):
    """A :class:`hauberk.core.ports.Ledger` in a database whose tables are migrated.

    An append is acknowledged once it is on the server's disk; a server that restarts meanwhile is
    waited for, and the entry is there once.
    """

    def __init__(self, url: str, *, patience: float = 15.0) -> None:
        super().__init__(PostgresDatabase(url, table="ledger", patience=patience))
