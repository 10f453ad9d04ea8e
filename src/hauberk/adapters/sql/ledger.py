"""The ledger in tables: append-only, a chain from entry to entry, and a tree over them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hauberk.adapters.sql.ledger_rows import (
    COLUMNS,
    GENESIS,
    Row,
    body_text,
    entry_of,
    new_row,
    row_digest,
)
from hauberk.core.errors import Untrusted
from hauberk.govern import merkle
from hauberk.govern.merkle_checkpoint import Head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.adapters.sql.database import Connection, SqlDatabase
    from hauberk.core.ports import Entry, EntryKind

_PAGE = 5000


class SqlLedger:
    """A :class:`hauberk.core.ports.Ledger` that several processes may write at once.

    Entry 0 follows :data:`GENESIS`. Chain and tree show what was altered, inserted or taken out.
    That the end was cut off, or all of it written anew, only shows against a checkpoint that was
    signed and kept elsewhere (:mod:`hauberk.govern.merkle_checkpoint`).
    """

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @property
    def place(self) -> str:
        """The file, or the server and its database."""
        return self._database.place

    def append(
        self, kind: EntryKind, subject: str, body: dict[str, Any], *, at: float, key: str = ""
    ) -> Entry:
        """Append an entry, on the disk when this returns; a known ``key`` gives its entry.

        Raises:
            DataError: if the entry is too large, is not plain JSON, or its kind is unknown.
            Untrusted: if the last entry was altered, so that nothing may be built on it.
            EnvironmentFault: if the disk is full.
        """
        text = body_text(kind, subject, body, key)
        # Where a commit's answer can be lost, each append is known by a key of its own at least.
        once = key or (f"~{uuid4().hex}" if self._database.repeats else None)

        def write(connection: Connection) -> Any:
            if once:
                found = connection.execute(
                    f"SELECT {COLUMNS} FROM ledger WHERE once = ?",  # noqa: S608 - a constant
                    (once,),
                ).fetchone()
                if found:
                    return found
            last = connection.execute(
                f"SELECT {COLUMNS} FROM ledger ORDER BY number DESC LIMIT 1"  # noqa: S608
            ).fetchone()
            row = new_row(self._entry(last) if last else None, kind, subject, text, at)
            connection.execute(
                f"INSERT INTO ledger ({COLUMNS}, once) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (*row, once),
            )
            self._grow(connection, row)
            return row

        return self._entry(self._database.transact(write))

    def entries(self, *, kind: EntryKind | None = None, subject: str | None = None) -> list[Entry]:
        """Entries in order, filtered; each checked against its own digest.

        Raises:
            Untrusted: if one of them was altered.
        """
        wanted = {"kind": kind, "subject": subject}
        held = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(["true", *(f"{column} = ?" for column in held)])
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM ledger WHERE {where} ORDER BY number",  # noqa: S608 - constants
            tuple(held.values()),
        )
        return [self._entry(row) for row in rows]

    def verify(self) -> int:
        """Check every entry, the chain, the tree and the file; return the number of entries.

        Raises:
            Untrusted: naming the first broken entry.
        """
        damage = self._database.damage()
        [(length, kept)] = self._database.rows(
            "SELECT (SELECT count(*) FROM ledger), (SELECT coalesce(max(number) + 1, 0) FROM tree)"
        )
        previous, grown = GENESIS, Growth()
        for page in self._pages(length):
            for row in page:
                number = row[0]
                if row_digest(row) != row[6]:
                    raise self._broken(number, "its content does not have its digest")
                if number != grown.size or row[5] != previous:
                    raise self._broken(grown.size, "it does not follow the entry before it")
                previous = row[6]
                grown.add(bytes.fromhex(previous[7:]))
            self._compare(grown)
        if grown.size != length:
            raise self._broken(grown.size, "it is missing")
        if kept != merkle.count(length):
            raise self._broken(length, f"entries are {length}, but the tree is of another size")
        if damage:
            raise Untrusted(f"the file is damaged: {damage}", where=self._database.place)
        return int(length)

    def head(self) -> Head:
        """Size, first entry and root as they are now; not verified.

        Raises:
            Untrusted: if the tree lacks a part.
        """
        [(size, first)] = self._database.rows(
            "SELECT (SELECT count(*) FROM ledger), (SELECT digest FROM ledger WHERE number = 0)"
        )
        return Head(size=size, origin=first or GENESIS, root=self.root(size).hex())

    def root(self, size: int) -> bytes:
        """Root of the first ``size`` entries."""
        return merkle.root(size, self._node)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Proof that entry ``index`` is among the first ``size``, by ``log2(size)`` reads.

        Raises:
            UserError: if there is no such entry.
        """
        return merkle.inclusion(index, size, self._node)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """Proof that the first ``first`` entries begin the first ``second``.

        Raises:
            UserError: unless ``0 < first <= second``.
        """
        return merkle.consistency(first, second, self._node)

    def entry(self, index: int) -> Entry | None:
        """One entry by its number, checked against its digest; None if there is none.

        Raises:
            Untrusted: if it was altered.
        """
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM ledger WHERE number = ?",  # noqa: S608 - a constant
            (index,),
        )
        return self._entry(rows[0]) if rows else None

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self._database.close()

    def _grow(self, connection: Connection, row: Row) -> None:
        def read(level: int, number: int) -> bytes:
            return self._hash(
                connection.execute(_NODE, (merkle.place(level, number),)).fetchall(), number
            )

        size = row[0]
        made = merkle.grow(size, merkle.leaf(bytes.fromhex(row[6][7:])), read)
        start = merkle.count(size)
        for place, found in enumerate(made, start):
            connection.execute("INSERT INTO tree VALUES (?, ?)", (place, found))

    def _node(self, level: int, number: int) -> bytes:
        return self._hash(
            self._database.rows(_NODE, (merkle.place(level, number),)), number << level
        )

    def _hash(self, rows: list[tuple[bytes]], entry: int) -> bytes:
        if not rows:
            raise self._broken(entry, "the tree above it has a gap")
        return rows[0][0]

    def _pages(self, length: int) -> Iterator[list[Row]]:
        """All rows in order, a page at a time; what is appended meanwhile is left out."""
        after, seen = -(1 << 62), 0
        while seen < length:
            page: list[Any] = self._database.rows(
                f"SELECT {COLUMNS} FROM ledger WHERE number > ? ORDER BY number LIMIT ?",  # noqa: S608
                (after, min(_PAGE, length - seen)),
            )
            if not page:
                return
            yield page
            after, seen = page[-1][0], seen + len(page)

    def _compare(self, grown: Growth) -> None:
        """Hold the subtrees that a page completed against those in the table."""
        made, start = grown.take()
        found = self._database.rows(
            "SELECT number, hash FROM tree WHERE number >= ? AND number < ? ORDER BY number",
            (start, start + len(made)),
        )
        if found != list(enumerate(made, start)):
            kept = dict(found)
            bad = next(n for n, made_hash in enumerate(made, start) if kept.get(n) != made_hash)
            raise self._broken(_leaf_before(bad), "the tree above it is not the one it makes")

    def _entry(self, row: Any) -> Entry:
        entry = entry_of(row)
        if entry is None:
            raise self._broken(row[0], "its content does not have its digest")
        return entry

    def _broken(self, number: int, why: str) -> Untrusted:
        return Untrusted(
            f"HB-S001: ledger entry {number} is broken: {why}",
            where=self._database.place,
            hint="restore the ledger from a backup; nothing is served on a broken one",
        )


_NODE = "SELECT hash FROM tree WHERE number = ?"


class Growth:
    """The tree made while entries pass by; of what was taken only the peaks are held."""

    def __init__(self) -> None:
        self.size, self._made, self._start = 0, list[bytes](), 0
        self._peaks: list[bytes] = []

    def add(self, digest: bytes) -> None:
        """Add an entry by its digest, 32 bytes."""
        found = merkle.leaf(digest)
        self._made.append(found)
        size = self.size
        while size & 1:
            found = merkle.node(self._peaks.pop(), found)
            self._made.append(found)
            size >>= 1
        self._peaks.append(found)
        self.size += 1

    def take(self) -> tuple[list[bytes], int]:
        """The subtrees completed since the last call, and the place of the first."""
        made, start = self._made, self._start
        self._made, self._start = [], start + len(made)
        return made, start


def _leaf_before(number: int) -> int:
    """The entry that completed the subtree at a place."""
    low, high = 0, number + 1
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if merkle.count(middle) <= number else (low, middle)
    return low
