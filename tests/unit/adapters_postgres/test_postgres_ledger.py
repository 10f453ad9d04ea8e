"""The ledger in PostgreSQL: writers at once, a server that crashes, answers that are lost."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from hauberk.core.errors import ConfigError, EnvironmentFault, Untrusted

psycopg = pytest.importorskip("psycopg")

from hauberk.adapters.postgres.database import PostgresDatabase  # noqa: E402
from hauberk.adapters.postgres.journal import PostgresJournal  # noqa: E402
from hauberk.adapters.postgres.ledger import PostgresLedger  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hauberk.testing.servers import Postgres

WRITER = """
import sys
from hauberk.adapters.postgres.ledger import PostgresLedger
url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = PostgresLedger(url, patience=60)
for n in range(count):
    entry = ledger.append("evidence", name, {"n": n}, at=float(n))
    ledger.append("incident", "shared", {"by": name}, at=0.0, key=f"turn-{n}")
    print(entry.index, entry.digest, flush=True)
"""


def writers(url: str, folder: Path, *, count: int, many: int = 8) -> list[subprocess.Popen[bytes]]:
    running = []
    for number in range(many):
        command = [sys.executable, "-c", WRITER, url, f"w{number}", str(count)]
        files = (folder / f"w{number}.{kind}" for kind in ("out", "err"))
        with next(files).open("wb") as out, next(files).open("wb") as err:
            running.append(subprocess.Popen(command, stdout=out, stderr=err))
    return running


def acknowledged(folder: Path) -> list[tuple[int, str]]:
    lines = [line for path in folder.glob("w*.out") for line in path.read_text().splitlines()]
    return [(int(index), digest) for index, digest in (line.split() for line in lines)]


def check_whole(url: str, folder: Path, *, count: int, many: int = 8) -> None:
    """Each writer's entries once and in order, each shared entry once, all that was said there."""
    ledger = PostgresLedger(url)
    assert ledger.verify() == count * many + count
    entries = ledger.entries()
    held = {(entry.index, entry.digest) for entry in entries}
    told = acknowledged(folder)
    assert len(told) == len(set(told)) == count * many
    assert set(told) <= held
    for number in range(many):
        own = [entry.body["n"] for entry in entries if entry.subject == f"w{number}"]
        assert own == list(range(count))
    assert sum(entry.subject == "shared" for entry in entries) == count
    assert all(one.digest == two.previous for one, two in pairwise(entries))


def test_eight_processes_lose_and_double_nothing(ledger_url: str, tmp_path: Path) -> None:
    for process in writers(ledger_url, tmp_path, count=12):
        assert process.wait(120) == 0, [p.read_text() for p in tmp_path.glob("*.err")]
    check_whole(ledger_url, tmp_path, count=12)


def test_a_server_that_crashes_under_load_loses_nothing_acknowledged(
    ledger_url: str, postgres: Postgres, tmp_path: Path
) -> None:
    running = writers(ledger_url, tmp_path, count=20)
    for mode, after in (("immediate", 40), ("fast", 80)):
        deadline = time.monotonic() + 60
        while len(acknowledged(tmp_path)) < after and time.monotonic() < deadline:
            time.sleep(0.02)
        assert any(process.poll() is None for process in running), "there is load"
        postgres.restart(mode)
    for process in running:
        assert process.wait(120) == 0, [p.read_text() for p in tmp_path.glob("*.err")]
    check_whole(ledger_url, tmp_path, count=20)


class LosesAnAnswer(PostgresDatabase):
    """The server commits, and the connection dies before it says so."""

    losses = 1

    def _open(self) -> Any:
        connection = super()._open()
        if self.losses == 0:
            return connection
        outer = self

        class Lossy:
            closed = False
            execute = connection.execute

            @contextmanager
            def transaction(self) -> Iterator[None]:
                with connection.transaction():
                    yield
                outer.losses -= 1
                connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

        return Lossy()


def test_a_commit_whose_answer_is_lost_counts_once(ledger_url: str) -> None:
    ledger, journal = PostgresLedger(ledger_url), PostgresJournal(ledger_url)
    ledger._database = LosesAnAnswer(ledger_url, table="ledger")
    journal._database = LosesAnAnswer(ledger_url, table="turns")
    entry = ledger.append("model", "s", {"n": 1}, at=1.0)
    assert (entry.index, ledger.verify()) == (0, 1)
    assert ledger.append("model", "s", {"n": 1}, at=1.0).index == 1
    assert journal.write("svc", b"turn", at=0.0) == 0
    assert journal.read("svc") == [b"turn"]


def test_a_server_that_stays_away_is_told_in_one_line(ledger_url: str) -> None:
    url = ledger_url.replace(ledger_url.split(":")[3].split("/", maxsplit=1)[0], "1")
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match="refused") as caught:
        PostgresLedger(url, patience=0.5).verify()
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 30
    with pytest.raises(EnvironmentFault, match="password authentication failed") as caught:
        PostgresLedger(ledger_url.replace("hauberk:", "hauberk:wrong"), patience=60).verify()
    assert "wrong" not in str(caught.value)


def test_a_forked_child_opens_its_own_connection(ledger_url: str) -> None:
    ledger = PostgresLedger(ledger_url)
    ledger.append("model", "parent", {}, at=0.0)

    def append() -> None:
        ledger.append("model", "child", {}, at=0.0)
        sys.exit(7)

    child = multiprocessing.get_context("fork").Process(target=append)
    child.start()
    child.join(60)
    assert child.exitcode == 7
    ledger.append("model", "parent", {}, at=0.0)
    assert ledger.verify() == 3


TAMPERED = {
    "content": "UPDATE ledger SET body = '{\"n\":7}' WHERE number = 2",
    "gone": "DELETE FROM ledger WHERE number = 2",
    "cut": "DELETE FROM ledger WHERE number = 4",
    "tree": "UPDATE tree SET hash = decode(repeat('00', 32), 'hex') WHERE number = 1",
}


@pytest.mark.parametrize("statement", TAMPERED.values(), ids=TAMPERED)
def test_what_its_owner_alters_is_found(ledger_url: str, statement: str) -> None:
    ledger = PostgresLedger(ledger_url)
    for n in range(5):
        ledger.append("evidence", "s", {"n": n}, at=0.0)
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute(statement)
        connection.execute("ALTER TABLE ledger DISABLE TRIGGER ALL")
        connection.execute("ALTER TABLE tree DISABLE TRIGGER ALL")
        connection.execute(statement)
    with pytest.raises(Untrusted, match="HB-S001"):
        ledger.verify()


def test_rights_to_insert_and_select_are_enough(ledger_url: str, postgres: Postgres) -> None:
    role = "app_" + ledger_url.rpartition("/")[2]
    with psycopg.connect(ledger_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'app'")
        owner.execute(f"GRANT SELECT, INSERT ON ledger, tree, turns, snapshots TO {role}")
        owner.execute(
            f"GRANT UPDATE ON snapshots TO {role}; GRANT SELECT ON alembic_version TO {role}"
        )
    url = f"postgresql://{role}:app@127.0.0.1:{postgres.port}/{ledger_url.rpartition('/')[2]}"
    ledger, journal = PostgresLedger(url), PostgresJournal(url)
    ledger.append("model", "s", {}, at=0.0)
    journal.write("svc", b"turn", at=0.0)
    journal.save("svc", b"one")
    journal.save("svc", b"two")
    assert (ledger.verify(), journal.saved("svc")) == (1, b"two")
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM ledger")


def test_tables_that_are_missing_or_of_another_version(postgres: Postgres) -> None:
    from hauberk.adapters.postgres.upgrade import statements, upgrade

    url = postgres.create()
    with pytest.raises(ConfigError, match="not there"):
        PostgresLedger(url).verify()
    assert upgrade(url) == upgrade(url) == "0001"
    assert PostgresLedger(url).verify() == 0
    by_hand = postgres.create()
    with psycopg.connect(by_hand, autocommit=True) as connection:
        connection.execute(statements())
    assert PostgresLedger(by_hand).verify() == 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="revision 9999"):
        PostgresLedger(url).verify()
    with pytest.raises(ConfigError, match="newer version"):
        upgrade(url)
