from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.adapters.sql.ledger_rows import GENESIS
from hauberk.core.digest import digest_json
from hauberk.core.errors import DataError, EnvironmentFault, Untrusted

if TYPE_CHECKING:
    from pathlib import Path


def filled(path: Path, entries: int = 5) -> SqliteLedger:
    ledger = SqliteLedger(path)
    for n in range(entries):
        ledger.append("evidence", f"subject-{n}", {"text": f"marker-{n}"}, at=float(n), key=f"k{n}")
    return ledger


def alter(path: Path, *statements: str) -> None:
    """Change the file as someone with the right to write it, but without our triggers, could."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("DROP TRIGGER ledger_no_delete")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ledger SET subject = 'x'", "DELETE FROM ledger", "DELETE FROM ledger WHERE number=4"],
)
def test_sql_cannot_change_an_entry(tmp_path: Path, statement: str) -> None:
    filled(tmp_path / "l.db").close()
    with (
        closing(sqlite3.connect(tmp_path / "l.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)
    assert SqliteLedger(tmp_path / "l.db").verify() == 5


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ('UPDATE ledger SET body = \'{"text":"evil"}\' WHERE number = 2', 2),
        ("UPDATE ledger SET at = 9.0 WHERE number = 1", 1),
        ("UPDATE ledger SET kind = 'model' WHERE number = 3", 3),
        ("UPDATE ledger SET subject = 'other' WHERE number = 0", 0),
        ("UPDATE ledger SET subject = CAST(x'ff' AS TEXT) WHERE number = 0", 0),
        ("UPDATE ledger SET body = 'not json' WHERE number = 4", 4),
        ("UPDATE ledger SET body = '[]' WHERE number = 4", 4),
        ("UPDATE ledger SET previous = digest WHERE number = 2", 2),
        ("DELETE FROM ledger WHERE number = 2", 2),
        ("DELETE FROM ledger WHERE number = 0", 0),
        ("UPDATE ledger SET number = 9 WHERE number = 4", 9),
    ],
)
def test_verify_names_the_first_broken_entry(tmp_path: Path, statement: str, broken: int) -> None:
    path = tmp_path / "l.db"
    filled(path).close()
    alter(path, statement)
    with pytest.raises(Untrusted, match=f"entry {broken} is broken"):
        SqliteLedger(path).verify()


def test_a_chain_forged_from_an_entry_on_does_not_join(tmp_path: Path) -> None:
    """Another ledger's entries are each whole, but do not follow on from ours."""
    mine, other = tmp_path / "mine.db", tmp_path / "other.db"
    filled(mine).close()
    SqliteLedger(other).append("model", "something else", {}, at=0.0)
    filled(other).close()
    alter(
        mine,
        f"ATTACH '{other}' AS o",
        "DELETE FROM ledger WHERE number >= 2",
        "UPDATE ledger SET once = NULL",
        "INSERT INTO ledger SELECT * FROM o.ledger WHERE number >= 2",
    )
    with pytest.raises(Untrusted, match="entry 2 is broken: it does not follow"):
        SqliteLedger(mine).verify()


def test_an_entry_out_of_its_place_is_found(tmp_path: Path) -> None:
    """Whole by itself and joined to the one before, but a number was left out."""
    path = tmp_path / "l.db"
    head = filled(path).entries()[-1]
    fields = {"index": 6, "at": 0.0, "kind": "model", "subject": "s", "body": {}}
    digest = digest_json({**fields, "previous": head.digest})
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO ledger VALUES (6, 0.0, 'model', 's', '{}', ?, ?, NULL)",
            (head.digest, digest),
        )
    with pytest.raises(Untrusted, match="entry 5 is broken: it does not follow"):
        SqliteLedger(path).verify()


def test_a_flipped_byte_in_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    filled(path).close()
    data = bytearray(path.read_bytes())
    data[data.rindex(b"marker-3") + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Untrusted, match="entry 3 is broken"):
        SqliteLedger(path).verify()


def test_a_flipped_byte_in_an_index_is_found(tmp_path: Path) -> None:
    """An index that misses an entry would hide a revocation."""
    path = tmp_path / "l.db"
    filled(path).close()
    data = path.read_bytes()
    places, start = [], 0
    while (start := data.find(b"subject-1", start) + 1) > 0:
        places.append(start - 1)
    assert len(places) > 1  # the table and the index
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(Untrusted):
            SqliteLedger(path).verify()


def test_nothing_is_appended_after_a_broken_entry(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    filled(path).close()
    alter(path, "UPDATE ledger SET subject = 'x' WHERE number = 4")
    with pytest.raises(Untrusted, match="entry 4"):
        SqliteLedger(path).append("model", "s", {}, at=0.0)


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 100])
def test_another_file_is_not_a_ledger(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "l.db").write_bytes(content)
    with pytest.raises(Untrusted, match="damaged"):
        SqliteLedger(tmp_path / "l.db").verify()


def test_the_first_entry_follows_genesis(tmp_path: Path) -> None:
    entry = SqliteLedger(tmp_path / "l.db").append("model", "s", {"10": 1, "9": 2}, at=1)
    assert (entry.index, entry.previous, entry.at) == (0, GENESIS, 1.0)
    assert (tmp_path / "l.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("kind", "subject", "key"),
    [("nonsense", "s", ""), ("model", "x" * 5000, ""), ("model", "s", "k" * 5000)],
)
def test_odd_entries_are_refused(tmp_path: Path, kind: str, subject: str, key: str) -> None:
    with pytest.raises(DataError):
        SqliteLedger(tmp_path / "l.db").append(kind, subject, {}, at=0.0, key=key)  # type: ignore[arg-type]


def test_a_body_nested_too_deep_is_refused(tmp_path: Path) -> None:
    body: dict[str, object] = {}
    for _ in range(100_000):
        body = {"x": body}
    with pytest.raises(DataError, match="not plain JSON"):
        SqliteLedger(tmp_path / "l.db").append("model", "s", body, at=0.0)


def test_a_full_disk_rolls_back(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    ledger = filled(path)
    [(pages,)] = ledger._database.rows("PRAGMA page_count")
    ledger._database.rows(f"PRAGMA max_page_count={pages}")
    with pytest.raises(EnvironmentFault, match="disk full"):
        ledger.append("model", "big", {"x": "x" * 100_000}, at=0.0)
    assert ledger.verify() == 5
    ledger._database.rows(f"PRAGMA max_page_count={pages + 1000}")
    assert ledger.append("model", "big", {"x": "x" * 100_000}, at=0.0).index == 5


WRITE = """
import sys
from pathlib import Path
from hauberk.adapters.local.ledger import SqliteLedger
path, writer, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ledger = SqliteLedger(path)
for n in range(count):
    ledger.append("evidence", writer, {"n": n, "pad": "x" * 500}, at=0.0)
    ledger.append("incident", "shared", {"by": writer}, at=0.0, key=f"shared-{n}")
"""


def start_writer(path: Path, writer: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITE, str(path), writer, str(count)])


def test_eight_processes_lose_and_double_nothing(tmp_path: Path) -> None:
    path, count = tmp_path / "l.db", 15
    writers = [start_writer(path, f"w{w}", count) for w in range(8)]
    assert [writer.wait(60) for writer in writers] == [0] * 8
    ledger = SqliteLedger(path)
    assert ledger.verify() == 8 * count + count
    for w in range(8):
        assert [e.body["n"] for e in ledger.entries(subject=f"w{w}")] == list(range(count))


def test_a_writer_killed_at_any_moment_leaves_a_whole_chain(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    length = 0
    for pause in (0.02, 0.05, 0.031):
        writer = start_writer(path, "endless", 10**9)
        deadline = time.monotonic() + 30
        while SqliteLedger(path).verify() <= length and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(pause)
        writer.kill()
        assert writer.wait(10) == -9
        ledger = SqliteLedger(path)
        assert ledger.verify() > length
        length = ledger.append("incident", "after the kill", {}, at=0.0).index + 1


def test_a_forked_child_opens_its_own_connection(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "l.db")
    connection = ledger._database._open()

    def append() -> None:
        ledger.append("model", "child", {}, at=0.0)
        sys.exit(7 if ledger._database._open() is not connection else 1)

    child = multiprocessing.get_context("fork").Process(target=append)
    child.start()
    child.join(30)
    assert child.exitcode == 7
    ledger.append("model", "parent", {}, at=0.0)
    assert ledger.verify() == 7
