from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.adapters.local.store import LocalStore
from hauberk.adapters.local.trust import Trust
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, DataError, Untrusted, UserError
from hauberk.govern.attest import Release, release_statement

if TYPE_CHECKING:
    from pathlib import Path

INITIAL = {"role": "initial", "by": "ann"}
PRIMARY = {
    "role": "primary",
    "verdict": "pass",
    "policy": digest_bytes(b"policy"),
    "decision": digest_bytes(b"decision"),
    "evidence": [digest_bytes(b"evidence")],
    "incident": "incident-1",
}


def open_trust(folder: Path) -> Trust:
    return Trust(
        LocalStore(folder / "store"),
        SqliteLedger(folder / "ledger.db"),
        Ed25519Signer.create(folder / "keys"),
    )


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return open_trust(tmp_path)


@pytest.fixture
def model(trust: Trust) -> str:
    return trust.store.put(b"onnx bytes")


@pytest.mark.parametrize("predicate", [INITIAL, PRIMARY, {"role": "twin", "incident": "i"}])
def test_what_was_signed_is_served(
    trust: Trust, model: str, predicate: dict[str, Any], tmp_path: Path
) -> None:
    trust.sign(model, predicate, 5.0)
    other = open_trust(tmp_path)
    assert other.verified(model).read_bytes() == b"onnx bytes"
    grounds = other.grounds(model)
    assert (grounds.role, grounds.at) == (predicate["role"], 5.0)


def test_what_nobody_signed_is_not(trust: Trust, model: str) -> None:
    trust.ledger.append("model", model, {"role": "primary"}, at=0.0)
    with pytest.raises(Untrusted, match="HB-S002"):
        trust.verified(model)


def test_an_unknown_digest_is_not(trust: Trust) -> None:
    with pytest.raises(Untrusted, match="HB-S002"):
        trust.verified(digest_bytes(b"unknown"))
    with pytest.raises(UserError, match="not a digest"):
        trust.verified("../../etc/passwd")


def test_an_altered_or_missing_file_is_not(trust: Trust, model: str) -> None:
    trust.sign(model, INITIAL, 0.0)
    path = trust.verified(model)
    path.chmod(0o600)
    path.write_bytes(b"onnx bytez")
    with pytest.raises(Untrusted, match="HB-S001"):
        trust.verified(model)
    path.unlink()
    with pytest.raises(Untrusted, match="HB-S001"):
        trust.verified(model)


def test_a_revocation_is_for_good(trust: Trust, model: str) -> None:
    trust.sign(model, INITIAL, 0.0)
    assert not trust.revoked(model)
    first = trust.revoke(model, "rolled back", 1.0)
    assert trust.revoke(model, "again", 2.0) == first
    assert trust.revoked(model)
    with pytest.raises(Untrusted, match=r"HB-S003: .* rolled back"):
        trust.verified(model)
    with pytest.raises(Untrusted, match="HB-S003"):
        trust.sign(model, PRIMARY, 3.0)


def test_signing_again_changes_nothing_but_other_grounds_do(trust: Trust, model: str) -> None:
    first = trust.sign(model, PRIMARY, 1.0)
    assert trust.sign(model, PRIMARY, 2.0) == first
    assert trust.sign(model, INITIAL, 3.0).index == first.index + 1
    assert trust.grounds(model).role == "initial"


@pytest.mark.parametrize(
    "predicate",
    [
        {**PRIMARY, "verdict": "fail"},
        {**PRIMARY, "verdict": "unknown"},
        {**PRIMARY, "decision": None},
        {"role": "primary"},
        {"role": "initial"},
        {"role": "king", "by": "ann"},
        {**INITIAL, "extra": 1},
        {},
    ],
)
def test_without_grounds_nothing_is_signed(
    trust: Trust, model: str, predicate: dict[str, Any]
) -> None:
    with pytest.raises(DataError):
        trust.sign(model, predicate, 0.0)
    assert trust.ledger.entries() == []


def test_a_release_built_by_hand_is_held_to_the_same(trust: Trust, model: str) -> None:
    with pytest.raises(DataError, match="verdict"):
        trust.sign(model, Release(role="primary"), 0.0)


def test_a_missing_file_is_not_signed(trust: Trust) -> None:
    with pytest.raises(UserError, match="no blob"):
        trust.sign(digest_bytes(b"unknown"), INITIAL, 0.0)


def forge(trust: Trust, subject: str, statement: dict[str, Any], signer: Ed25519Signer) -> None:
    envelope = msgspec.to_builtins(signer.sign(statement))
    trust.ledger.append("signature", subject, {"envelope": envelope}, at=0.0)


def test_forged_signatures_do_not_count(trust: Trust, model: str, tmp_path: Path) -> None:
    other = Ed25519Signer.create(tmp_path / "other keys")
    own = trust.signer
    assert isinstance(own, Ed25519Signer)
    good = release_statement(model, Release(role="initial", by="ann"))
    elsewhere = release_statement(digest_bytes(b"else"), Release(role="initial", by="ann"))
    for statement, signer in (
        (good, other),
        (elsewhere, own),
        ({**good, "predicateType": "https://slsa.dev/provenance/v1"}, own),
        ({**good, "_type": "https://in-toto.io/Statement/v0.1"}, own),
        ({**good, "predicate": {**PRIMARY, "verdict": "fail"}}, own),
        ({**good, "predicate": None}, own),
        ({**good, "subject": []}, own),
        ({**good, "subject": [*good["subject"], *elsewhere["subject"]]}, own),
    ):
        forge(trust, model, statement, signer)
        with pytest.raises(Untrusted, match="HB-S002"):
            trust.verified(model)
    trust.ledger.append("signature", model, {}, at=0.0)
    trust.ledger.append("signature", model, {"envelope": {"payload": 1}}, at=0.0)
    with pytest.raises(Untrusted, match="HB-S002"):
        trust.verified(model)
    forge(trust, model, good, own)
    assert trust.verified(model).is_file()


def test_a_key_that_is_no_longer_trusted_no_longer_counts(
    trust: Trust, model: str, tmp_path: Path
) -> None:
    trust.sign(model, INITIAL, 0.0)
    trust.verified(model)
    (tmp_path / "keys" / "trusted" / "signer.pub").unlink()
    with pytest.raises(Untrusted, match="HB-S002"):
        trust.verified(model)
    (tmp_path / "keys" / "trusted" / "bad.pub").write_bytes(b"junk")
    with pytest.raises(ConfigError):
        trust.verified(model)


def test_a_broken_ledger_lets_nothing_through(trust: Trust, model: str, tmp_path: Path) -> None:
    trust.ledger.append("dataset", "some data", {"text": "marker"}, at=0.0)
    trust.sign(model, INITIAL, 0.0)
    assert isinstance(trust.ledger, SqliteLedger)
    trust.ledger.close()
    path = tmp_path / "ledger.db"
    data = bytearray(path.read_bytes())
    data[data.rindex(b"marker")] ^= 1
    path.write_bytes(data)
    with pytest.raises(Untrusted, match="HB-S001: ledger entry 0"):
        open_trust(tmp_path).verified(model)
