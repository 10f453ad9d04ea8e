"""The ledger in SQLite: append-only, each entry sealed by the digest of the one before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

from hauberk.adapters.local.database import Database
from hauberk.core.digest import canonical_json, digest_json, short
from hauberk.core.errors import DataError, Untrusted
from hauberk.core.ports import Entry, EntryKind

if TYPE_CHECKING:
    from pathlib import Path

GENESIS = "sha256:" + "0" * 64
MAX_BODY = 1 << 20
MAX_TEXT = 4096
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    body TEXT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT NULL, once TEXT UNIQUE
) STRICT;
CREATE INDEX IF NOT EXISTS ledger_subject ON ledger (subject, kind);
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
_COLUMNS = "number, at, kind, subject, body, previous, digest"


class SqliteLedger:
    """A :class:`hauberk.core.ports.Ledger` for the processes of one machine.

    Entry 0 follows :data:`GENESIS`. The chain shows what was altered, inserted or taken out; that
    its end was cut off only shows against a head that was noted elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    def append(
        self, kind: EntryKind, subject: str, body: dict[str, Any], *, at: float, key: str = ""
    ) -> Entry:
        """Append an entry, on the disk when this returns; a known ``key`` gives its entry.

        Raises:
            DataError: if the entry is too large, is not plain JSON, or its kind is unknown.
            Untrusted: if the last entry was altered, so that nothing may be built on it.
            EnvironmentFault: if the disk is full.
        """
        text = _check(kind, subject, body, key)
        with self._database.write() as connection:
            if key:
                found = connection.execute(
                    f"SELECT {_COLUMNS} FROM ledger WHERE once = ?",  # noqa: S608 - a constant
                    (key,),
                ).fetchone()
                if found:
                    return self._entry(found)
            last = connection.execute(
                f"SELECT {_COLUMNS} FROM ledger ORDER BY number DESC LIMIT 1"  # noqa: S608
            ).fetchone()
            head = self._entry(last) if last else None
            fields = {
                "index": head.index + 1 if head else 0,
                "at": float(at),
                "kind": kind,
                "subject": subject,
                "body": json.loads(text),
                "previous": head.digest if head else GENESIS,
            }
            try:
                entry = Entry(**fields, digest=digest_json(fields))
            except ValueError:
                raise DataError(f"{at} is not a time", where="ledger") from None
            connection.execute(
                f"INSERT INTO ledger ({_COLUMNS}, once) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    entry.index,
                    entry.at,
                    entry.kind,
                    entry.subject,
                    text,
                    entry.previous,
                    entry.digest,
                    key or None,
                ),
            )
        return entry

    def entries(self, *, kind: EntryKind | None = None, subject: str | None = None) -> list[Entry]:
        """Entries in order, filtered; each checked against its own digest.

        Raises:
            Untrusted: if one of them was altered.
        """
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM ledger WHERE (?1 IS NULL OR kind = ?1) "  # noqa: S608
            "AND (?2 IS NULL OR subject = ?2) ORDER BY number",
            (kind, subject),
        )
        return [self._entry(row) for row in rows]

    def verify(self) -> int:
        [(state,)] = self._database.rows("PRAGMA integrity_check(1)")
        previous, length = GENESIS, 0
        for entry in self.entries():
            if entry.index != length or entry.previous != previous:
                raise self._broken(length, "it does not follow the entry before it")
            previous, length = entry.digest, length + 1
        if state != "ok":
            raise Untrusted(f"the file is damaged: {state}", where=str(self._database.path))
        return length

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._database.close()

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        number, at, kind, subject, text, previous, digest = row
        fields = {
            "index": number,
            "at": at,
            "kind": kind,
            "subject": subject,
            "body": _parse(text),
            "previous": previous,
        }
        if not isinstance(fields["body"], dict) or _digest(fields) != digest:
            raise self._broken(number, "its content does not have its digest")
        return Entry(**fields, digest=digest)

    def _broken(self, number: int, why: str) -> Untrusted:
        return Untrusted(
            f"HB-S001: ledger entry {number} is broken: {why}",
            where=str(self._database.path),
            hint="restore the ledger from a backup; nothing is served on a broken one",
        )


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _digest(fields: dict[str, Any]) -> str | None:
    try:
        return digest_json(fields)
    except (TypeError, ValueError):  # a flipped byte can make bytes of a text, or bad text
        return None


def _check(kind: str, subject: str, body: dict[str, Any], key: str) -> str:
    """The body's canonical text, once everything is known to fit."""
    if kind not in get_args(EntryKind):
        raise DataError(f"unknown kind of entry {kind!r}", where="ledger")
    if not subject or max(len(subject), len(key)) > MAX_TEXT:
        raise DataError(f"a subject has 1…{MAX_TEXT} characters", where="ledger")
    try:
        # Twice, since the first pass may turn keys into text and so change their order.
        text = canonical_json(json.loads(canonical_json(body)))
        subject.encode(), key.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"not plain JSON: {error}", where=f"ledger: {short(subject)}") from None
    if len(text) > MAX_BODY:
        raise DataError(f"a body of {len(text)} bytes, at most {MAX_BODY}", where="ledger")
    return text.decode()
