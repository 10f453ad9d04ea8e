"""The local adapters pass the suites that every adapter must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.journal import SqliteJournal
from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.adapters.local.records import RecordLog
from hauberk.adapters.local.store import LocalStore
from hauberk.core.digest import digest_bytes
from hauberk.testing.store_checks import (
    journal_checks,
    ledger_checks,
    source_checks,
    store_checks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.core.ports import Entry
    from hauberk.core.record import Record
    from hauberk.testing.store_checks import JournalCheck, LedgerCheck, SourceCheck, StoreCheck


@pytest.mark.parametrize("check", store_checks().values(), ids=store_checks())
def test_store(check: StoreCheck, tmp_path: Path) -> None:
    check(lambda: LocalStore(tmp_path))


@pytest.mark.parametrize("check", ledger_checks().values(), ids=ledger_checks())
def test_ledger(check: LedgerCheck, tmp_path: Path) -> None:
    check(lambda: SqliteLedger(tmp_path / "ledger.db"))


@pytest.mark.parametrize("check", journal_checks().values(), ids=journal_checks())
def test_journal(check: JournalCheck, tmp_path: Path) -> None:
    check(lambda: SqliteJournal(tmp_path / "ledger.db"))


@pytest.mark.parametrize("check", source_checks().values(), ids=source_checks())
def test_records(check: SourceCheck, tmp_path: Path) -> None:
    def make(records: Sequence[Record]) -> RecordLog:
        log = RecordLog(tmp_path, segment_bytes=1000)
        for record in records:
            log.append([record])
        return RecordLog(tmp_path)

    check(make)


class ForgetfulStore(LocalStore):
    def get(self, digest: str) -> bytes:
        return super().get(digest)[:-1]


class DoublingLedger(SqliteLedger):
    def append(self, kind, subject, body, *, at, key="") -> Entry:  # type: ignore[no-untyped-def]
        return super().append(kind, subject, body, at=at)


class OneTurnJournal(SqliteJournal):
    def read(self, service: str) -> list[bytes]:
        return super().read(service)[-1:]


class SkippingLog(RecordLog):
    def read(self, after: int, limit: int) -> list[Record]:
        return super().read(after + 1, limit)


def test_the_suites_find_what_is_broken(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="get gives"):
        store_checks()["gives-back"](lambda: ForgetfulStore(tmp_path / "a"))
    with pytest.raises(AssertionError, match="a key"):
        ledger_checks()["key-is-once"](lambda: DoublingLedger(tmp_path / "b"))
    with pytest.raises(AssertionError, match="as written"):
        journal_checks()["keeps-turns"](lambda: OneTurnJournal(tmp_path / "c"))

    def make(records: Sequence[Record]) -> RecordLog:
        RecordLog(tmp_path / "d").append(records)
        return SkippingLog(tmp_path / "d")

    with pytest.raises(AssertionError, match="each record once"):
        source_checks()["reads-on"](make)


def test_a_store_may_be_asked_for_what_it_does_not_have(tmp_path: Path) -> None:
    assert digest_bytes(b"x") not in LocalStore(tmp_path / "not there yet")
