from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.journal import SqliteJournal
from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def test_journal_and_ledger_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger, journal = SqliteLedger(path), SqliteJournal(path)
    journal.write("a", b"turn", at=0.0)
    ledger.append("incident", "i", {}, at=0.0)
    journal.save("a", b"snapshot")
    assert SqliteLedger(path).verify() == 1
    assert SqliteJournal(path).read("a") == [b"turn"]


@pytest.mark.parametrize("statement", ["UPDATE turns SET turn = x'00'", "DELETE FROM turns"])
def test_sql_cannot_change_a_turn(tmp_path: Path, statement: str) -> None:
    SqliteJournal(tmp_path / "j.db").write("a", b"turn", at=0.0)
    with (
        closing(sqlite3.connect(tmp_path / "j.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)


@pytest.mark.parametrize("service", ["", "x" * 300])
def test_odd_names_are_refused(tmp_path: Path, service: str) -> None:
    with pytest.raises(DataError):
        SqliteJournal(tmp_path / "j.db").write(service, b"", at=0.0)
