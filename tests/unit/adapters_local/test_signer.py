from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hauberk.adapters.local.signer import IN_TOTO, OTHER, Ed25519Signer, encode
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, DataError, Untrusted
from hauberk.core.ports import Envelope

if TYPE_CHECKING:
    from pathlib import Path

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "subject": [], "n": 1}


@pytest.fixture
def signer(tmp_path: Path) -> Ed25519Signer:
    return Ed25519Signer.create(tmp_path / "keys")


def changed(envelope: Envelope, **fields: Any) -> Envelope:
    return msgspec.structs.replace(envelope, **fields)


def test_the_encoding_is_that_of_the_specification() -> None:
    # The example in the DSSE specification, protocol.md.
    assert (
        encode("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_signature_is_plain_ed25519_over_the_encoding(signer: Ed25519Signer) -> None:
    envelope = signer.sign(STATEMENT)
    [signature] = envelope.signatures
    assert envelope.payloadType == IN_TOTO
    assert signature["keyid"] == signer.key_id
    public = signer.trusted()[signer.key_id]
    assert digest_bytes(public.public_bytes_raw()) == signer.key_id
    public.verify(
        b64decode(signature["sig"]), encode(IN_TOTO, b64decode(envelope.payload))
    )  # raises if it does not hold


def test_create_makes_a_private_pair_once(tmp_path: Path) -> None:
    first = Ed25519Signer.create(tmp_path)
    assert Ed25519Signer.create(tmp_path).key_id == first.key_id
    assert (tmp_path / "signer.key").stat().st_mode & 0o777 == 0o600
    assert first.verify(Ed25519Signer(tmp_path).sign(STATEMENT)) == STATEMENT


def test_verifying_needs_no_private_key(signer: Ed25519Signer) -> None:
    envelope = signer.sign(STATEMENT)
    (signer.folder / "signer.key").unlink()
    gateway = Ed25519Signer(signer.folder)
    assert gateway.verify(envelope) == STATEMENT
    with pytest.raises(ConfigError, match="no private key"):
        gateway.sign(STATEMENT)


def test_another_key_counts_once_it_is_trusted(signer: Ed25519Signer, tmp_path: Path) -> None:
    other = Ed25519Signer.create(tmp_path / "other")
    envelope = other.sign(STATEMENT)
    with pytest.raises(Untrusted, match="HB-S002"):
        signer.verify(envelope)
    (signer.folder / "trusted" / "other.pub").write_bytes(other.public_pem())
    assert signer.verify(envelope) == STATEMENT
    (signer.folder / "trusted" / "other.pub").unlink()
    with pytest.raises(Untrusted, match="HB-S002"):
        signer.verify(envelope)


def test_a_trusted_key_may_be_raw(signer: Ed25519Signer) -> None:
    pub = signer.folder / "trusted" / "signer.pub"
    pub.write_bytes(signer.trusted()[signer.key_id].public_bytes_raw())
    assert signer.verify(signer.sign(STATEMENT)) == STATEMENT


def test_a_forged_key_id_convinces_no_one(signer: Ed25519Signer, tmp_path: Path) -> None:
    other = Ed25519Signer.create(tmp_path / "other")
    [forged] = other.sign(STATEMENT).signatures
    envelope = changed(
        signer.sign(STATEMENT), signatures=[{"keyid": signer.key_id, "sig": forged["sig"]}]
    )
    with pytest.raises(Untrusted, match="no trusted key signed"):
        signer.verify(envelope)


def test_one_good_signature_among_others_is_enough(signer: Ed25519Signer, tmp_path: Path) -> None:
    other = Ed25519Signer.create(tmp_path / "other")
    mine = signer.sign(STATEMENT)
    both = changed(mine, signatures=[*other.sign(STATEMENT).signatures, *mine.signatures])
    assert signer.verify(both) == STATEMENT


def test_url_safe_base64_is_read_too(signer: Ed25519Signer) -> None:
    envelope = signer.sign({"x": "ÿ¿?~>>>???" * 5})
    safe = urlsafe_b64encode(b64decode(envelope.payload)).decode()
    assert safe != envelope.payload
    assert signer.verify(changed(envelope, payload=safe)) == {"x": "ÿ¿?~>>>???" * 5}


def test_what_was_changed_after_signing_is_refused(signer: Ed25519Signer) -> None:
    good = signer.sign(STATEMENT)
    [signature] = good.signatures
    payload = b64encode(json.dumps({**STATEMENT, "n": 2}).encode()).decode()
    for bad in (
        changed(good, payload=payload),
        changed(good, payload=good.payload[:-4]),
        changed(good, payload="?"),
        changed(good, payload="A"),
        changed(good, payload=""),
        changed(good, payloadType=OTHER),
        changed(good, payloadType="\ud800"),
        changed(good, signatures=[]),
        changed(good, signatures=[{}]),
        changed(good, signatures=[{"keyid": signature["keyid"], "sig": ""}]),
        changed(good, signatures=[{**signature, "sig": "é"}]),
        changed(good, signatures=[{**signature, "sig": b64encode(bytes(64)).decode()}]),
        changed(good, signatures=[signature] * 17),
        changed(good, payload="A" * (3 << 20)),
    ):
        with pytest.raises(Untrusted, match="HB-S002"):
            signer.verify(bad)


@pytest.mark.parametrize("payload", [b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_a_signed_payload_must_be_an_object(signer: Ed25519Signer, payload: bytes) -> None:
    signature = signer._key().sign(encode(OTHER, payload))
    envelope = Envelope(
        payloadType=OTHER,
        payload=b64encode(payload).decode(),
        signatures=[{"keyid": signer.key_id, "sig": b64encode(signature).decode()}],
    )
    with pytest.raises(Untrusted, match="not a JSON object"):
        signer.verify(envelope)


def test_the_payload_type_must_be_the_statements(signer: Ed25519Signer) -> None:
    payload = json.dumps(STATEMENT).encode()
    signature = signer._key().sign(encode(OTHER, payload))
    envelope = Envelope(
        payloadType=OTHER,
        payload=b64encode(payload).decode(),
        signatures=[{"keyid": signer.key_id, "sig": b64encode(signature).decode()}],
    )
    with pytest.raises(Untrusted, match="payload type"):
        signer.verify(envelope)


def test_no_trusted_key_means_no_trust(signer: Ed25519Signer) -> None:
    envelope = signer.sign(STATEMENT)
    (signer.folder / "trusted" / "signer.pub").unlink()
    with pytest.raises(Untrusted, match="no key is trusted"):
        signer.verify(envelope)
    with pytest.raises(Untrusted, match="no key is trusted"):
        Ed25519Signer(signer.folder / "absent").verify(envelope)


def ec_public() -> bytes:
    key = generate_private_key(SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("content", [b"", b"junk", b"x" * 31, b"x" * 5000, ec_public()])
def test_a_bad_key_among_the_trusted_stops_everything(
    signer: Ed25519Signer, content: bytes
) -> None:
    envelope = signer.sign(STATEMENT)
    (signer.folder / "trusted" / "bad.pub").write_bytes(content)
    with pytest.raises((ConfigError, DataError)):
        signer.verify(envelope)


@pytest.mark.parametrize("content", [b"", b"junk", ec_public()])
def test_a_bad_private_key_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "signer.key").write_bytes(content)
    (tmp_path / "signer.key").chmod(0o600)
    with pytest.raises(ConfigError, match="not an Ed25519 private key"):
        Ed25519Signer.create(tmp_path)


def test_a_private_key_that_others_may_read_is_refused(signer: Ed25519Signer) -> None:
    (signer.folder / "signer.key").chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        Ed25519Signer(signer.folder).sign(STATEMENT)


def test_the_key_is_not_in_the_repr(signer: Ed25519Signer) -> None:
    private = signer._key()
    assert isinstance(private, Ed25519PrivateKey)
    assert private.private_bytes_raw().hex() not in f"{signer!r}{signer.__dict__}"


@pytest.mark.parametrize(
    "statement", [{"x": float("nan")}, {"x": object()}, {"x": "x" * (2 << 20)}]
)
def test_only_plain_statements_of_some_size_are_signed(
    signer: Ed25519Signer, statement: dict[str, Any]
) -> None:
    with pytest.raises(DataError):
        signer.sign(statement)
