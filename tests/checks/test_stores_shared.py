"""The adapters for many machines pass the same suites, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.store import LocalStore
from hauberk.testing.store_checks import journal_checks, ledger_checks, store_checks

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.testing.store_checks import JournalCheck, LedgerCheck, StoreCheck


@pytest.mark.parametrize("check", ledger_checks().values(), ids=ledger_checks())
def test_postgres_ledger(check: LedgerCheck, ledger_url: str) -> None:
    from hauberk.adapters.postgres.ledger import PostgresLedger

    check(lambda: PostgresLedger(ledger_url))


@pytest.mark.parametrize("check", journal_checks().values(), ids=journal_checks())
def test_postgres_journal(check: JournalCheck, ledger_url: str) -> None:
    from hauberk.adapters.postgres.journal import PostgresJournal

    check(lambda: PostgresJournal(ledger_url))


@pytest.mark.parametrize("check", store_checks().values(), ids=store_checks())
def test_s3_store(check: StoreCheck, bucket_url: str, tmp_path: Path) -> None:
    from hauberk.adapters.s3.store import S3Store

    check(lambda: S3Store(bucket_url, cache=LocalStore(tmp_path)))


@pytest.mark.parametrize("check", store_checks().values(), ids=store_checks())
def test_s3_store_of_many_machines(check: StoreCheck, bucket_url: str, tmp_path: Path) -> None:
    from hauberk.adapters.s3.store import S3Store

    machines = iter(range(1000))
    check(lambda: S3Store(bucket_url, cache=LocalStore(tmp_path / str(next(machines)))))
