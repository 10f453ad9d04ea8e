"""Checkpoints and proofs: what the file's holder does is found, and named for what it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import DataError, Untrusted, UserError
from hauberk.core.ports import Envelope
from hauberk.govern.merkle import count
from hauberk.govern.merkle_checkpoint import (
    Inclusion,
    check_against,
    check_inclusion,
    prove,
    read_checkpoint,
    read_json,
    take_checkpoint,
)

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 11


def filled(path: Path, size: int = SIZE, text: str = "n") -> SqliteLedger:
    ledger = SqliteLedger(path)
    for n in range(size):
        ledger.append("evidence", f"s{n}", {text: n}, at=float(n))
    return ledger


@pytest.fixture
def signer(tmp_path: Path) -> Ed25519Signer:
    return Ed25519Signer.create(tmp_path / "keys")


def alter(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("ledger_no_update", "ledger_no_delete", "tree_no_update", "tree_no_delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("statement", ["UPDATE tree SET hash = x'00'", "DELETE FROM tree"])
def test_sql_cannot_change_the_tree(tmp_path: Path, statement: str) -> None:
    filled(tmp_path / "l.db").close()
    with (
        closing(sqlite3.connect(tmp_path / "l.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)


SWAP = """UPDATE ledger SET number = CASE number WHEN 4 THEN -1 WHEN 5 THEN -2 ELSE number END"""
BACK = """UPDATE ledger SET number = CASE number WHEN -1 THEN 5 WHEN -2 THEN 4 ELSE number END"""


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["UPDATE ledger SET body = '{\"n\":99}' WHERE number = 6"], "entry 6 is broken"),
        (["DELETE FROM ledger WHERE number = 6"], "entry 6 is broken"),
        ([SWAP, BACK], "entry 5 is broken|entry 4 is broken"),
        (["UPDATE tree SET hash = zeroblob(32) WHERE number = 0"], "entry 0 .* the tree above"),
        (["UPDATE tree SET hash = zeroblob(32) WHERE number = 6"], "entry 3 .* the tree above"),
        (["DELETE FROM tree WHERE number = 5"], "entry 3 .* the tree above"),
        ([f"DELETE FROM tree WHERE number >= {count(SIZE) - 1}"], "entry 10 .* the tree above"),
        ([f"DELETE FROM ledger WHERE number >= {SIZE - 2}"], "tree is of another size"),
        ([f"INSERT INTO tree VALUES ({count(SIZE)}, zeroblob(32))"], "tree is of another size"),
    ],
)
def test_what_shows_without_a_checkpoint(
    tmp_path: Path, statements: list[str], broken: str
) -> None:
    filled(tmp_path / "l.db").close()
    alter(tmp_path / "l.db", *statements)
    with pytest.raises(Untrusted, match=broken):
        SqliteLedger(tmp_path / "l.db").verify()


def test_truncation_and_forks_show_against_a_checkpoint(
    tmp_path: Path, signer: Ed25519Signer
) -> None:
    path = tmp_path / "l.db"
    ledger = filled(path)
    kept = read_checkpoint(take_checkpoint(ledger, signer, at=5.0), signer)
    assert (kept.size, kept.at) == (SIZE, 5.0)
    ledger.append("model", "later", {}, at=50.0)
    check_against(ledger, kept)
    ledger.close()
    alter(
        path,
        f"DELETE FROM ledger WHERE number >= {SIZE - 2}",
        f"DELETE FROM tree WHERE number >= {count(SIZE - 2)}",
    )
    short_one = SqliteLedger(path)
    assert short_one.verify() == SIZE - 2  # by itself it is whole
    with pytest.raises(Untrusted, match=f"cut off: {SIZE - 2} entries, but {SIZE}"):
        check_against(short_one, kept)
    for n in range(5):
        short_one.append("evidence", "forged", {"n": n}, at=0.0)
    assert short_one.verify() == SIZE + 3
    with pytest.raises(Untrusted, match="written anew"):
        check_against(short_one, kept)
    other = filled(tmp_path / "other.db", SIZE + 1, "m")
    with pytest.raises(Untrusted, match="another ledger"):
        check_against(other, kept)


def test_a_broken_or_empty_ledger_is_not_signed(tmp_path: Path, signer: Ed25519Signer) -> None:
    with pytest.raises(UserError, match="empty"):
        take_checkpoint(SqliteLedger(tmp_path / "empty.db"), signer, at=0.0)
    filled(tmp_path / "l.db").close()
    alter(tmp_path / "l.db", "UPDATE ledger SET subject = 'x' WHERE number = 3")
    with pytest.raises(Untrusted, match="entry 3"):
        take_checkpoint(SqliteLedger(tmp_path / "l.db"), signer, at=0.0)


def test_a_checkpoint_by_another_key_or_of_another_kind(
    tmp_path: Path, signer: Ed25519Signer
) -> None:
    ledger = filled(tmp_path / "l.db")
    other = Ed25519Signer.create(tmp_path / "other")
    with pytest.raises(Untrusted, match="no trusted key"):
        read_checkpoint(take_checkpoint(ledger, other, at=0.0), signer)
    with pytest.raises(Untrusted, match="not a checkpoint"):
        read_checkpoint(signer.sign({"_type": "https://hauberk.dev/consent/v1"}), signer)


@pytest.mark.parametrize("index", [0, 4, SIZE - 1])
def test_a_proof_stands_by_itself(tmp_path: Path, signer: Ed25519Signer, index: int) -> None:
    ledger = filled(tmp_path / "l.db")
    envelope = take_checkpoint(ledger, signer, at=5.0)
    kept = read_checkpoint(envelope, signer)
    ledger.append("model", "later", {}, at=50.0)
    entry = ledger.entry(index)
    assert entry
    proof = prove(ledger, envelope, kept, index=index, entry=entry.digest)
    data = msgspec.json.encode(proof)
    assert check_inclusion(read_json(data, Inclusion, where="p"), signer) == kept
    told = msgspec.structs.replace(proof, body=msgspec.to_builtins(entry))
    assert check_inclusion(told, signer) == kept
    for wrong in (
        msgspec.structs.replace(proof, entry=digest_bytes(b"other")),
        msgspec.structs.replace(proof, index=(index + 1) % SIZE),
        msgspec.structs.replace(proof, path=proof.path[1:]),
        msgspec.structs.replace(proof, path=["00" * 32] * 1000),
        msgspec.structs.replace(told, body={**msgspec.to_builtins(entry), "subject": "else"}),
        msgspec.structs.replace(told, body={}),
    ):
        with pytest.raises(Untrusted, match="HB-S001"):
            check_inclusion(wrong, signer)
    with pytest.raises(DataError, match="not hex"):
        check_inclusion(msgspec.structs.replace(proof, path=["zz"]), signer)
    with pytest.raises(UserError, match="no entry"):
        prove(ledger, envelope, kept, index=SIZE, entry=entry.digest)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"payload":1}', b"[" * 100_000])
def test_odd_files(data: bytes) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_json(data, Envelope, where="file")
