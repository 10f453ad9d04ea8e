"""OpenSSF model signatures: the published vectors, and both ways with the official client.

The client is found as ``model_signing`` on the path, or by ``HAUBERK_MODEL_SIGNING``; it needs an
environment of its own: ``pip install model-signing pyOpenSSL``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from hauberk.adapters.local import model_bundle
from hauberk.adapters.local.model_files import GIT, hash_model, inside
from hauberk.core.errors import ConfigError, Untrusted, UserError
from hauberk.govern.model_signing import Difference, Manifest, read_manifest, signing_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
VECTORS = ROOT.parent / "shared" / "data" / "model-signing-dev"
KEYS = VECTORS / "keys" / "certificate"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CLIENT = os.environ.get("HAUBERK_MODEL_SIGNING") or shutil.which("model_signing")
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="no ../shared/data")
needs_client = pytest.mark.skipif(CLIENT is None, reason="no model_signing client")


def write_key(folder: Path, curve: ec.EllipticCurve | None = None) -> Path:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pub").write_bytes(public)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "weights.bin").write_bytes(bytes(range(256)) * 10)
    (folder / "a-b").write_bytes(b"sorted by parts, not by letters")
    (folder / "config.json").write_text("{}")
    (folder / ".gitignore").write_text("*.tmp")
    return folder


def sign(model: Path, key: Path, chain: Sequence[x509.Certificate] = ()) -> bytes:
    files = hash_model(model, ignore=GIT)
    manifest = Manifest(model.name, files, GIT if model.is_dir() else ())
    return model_bundle.sign_bundle(manifest, model_bundle.private_key(key), chain)


@needs_vectors
@pytest.mark.parametrize("way", ["elliptic-key", "certificate"])
def test_the_published_vectors(way: str) -> None:
    model = VECTORS / f"v1.0.1-{way}"
    data = (model / "model.sig").read_bytes()
    by: dict[str, Any] = (
        {"key": model_bundle.public_key(KEYS / "signing-key-pub.pem")}
        if way == "elliptic-key"
        else {"roots": model_bundle.certificates(KEYS / "ca-cert.pem")}
    )
    manifest = model_bundle.verify_bundle(data, at=NOW, **by)
    found = hash_model(model, ignore=["model.sig", "ignore-me"])
    assert manifest.differences(found) == []
    assert manifest.name == model.name
    whole = hash_model(model, ignore=["model.sig"])
    assert manifest.differences(whole) == [Difference("ignore-me", "not signed")]


@needs_vectors
def test_a_vector_under_another_key_root_or_time() -> None:
    data = (VECTORS / "v1.0.1-certificate" / "model.sig").read_bytes()
    roots = model_bundle.certificates(KEYS / "ca-cert.pem")
    others = model_bundle.certificates(KEYS / "signing-key-cert.pem")
    for by, at, why in (
        ({"roots": roots}, datetime(2036, 1, 1, tzinfo=UTC), "not valid at this time"),
        ({"roots": roots}, datetime(2024, 1, 1, tzinfo=UTC), "not valid at this time"),
        ({"roots": others}, NOW, "not issued by the next|trusted root"),
        ({"key": ec.generate_private_key(ec.SECP384R1()).public_key()}, NOW, "not of this key"),
    ):
        with pytest.raises(Untrusted, match=why):
            model_bundle.verify_bundle(data, at=at, **by)
    with pytest.raises(UserError, match="nothing to verify by"):
        model_bundle.verify_bundle(data, at=NOW)
    keyless = (VECTORS / "v1.0.1-sigstore" / "model.sig").read_bytes()
    with pytest.raises(Untrusted, match="keyless"):
        model_bundle.verify_bundle(keyless, roots=roots, at=NOW)
    bare = (VECTORS / "v1.0.1-elliptic-key" / "model.sig").read_bytes()
    with pytest.raises(Untrusted, match="bare key"):
        model_bundle.verify_bundle(bare, roots=roots, at=NOW)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_ours_by_ours(model: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    key = write_key(tmp_path, curve)
    data = sign(model, key)
    public = model_bundle.public_key(tmp_path / "key.pub")
    manifest = model_bundle.verify_bundle(data, key=public, at=NOW)
    assert manifest.differences(hash_model(model, ignore=manifest.ignored)) == []
    (model / "config.json").write_text("{ }")
    (model / "new").write_text("")
    (model / "a-b").unlink()
    assert manifest.differences(hash_model(model, ignore=GIT)) == [
        Difference("a-b", "missing"),
        Difference("config.json", "altered"),
        Difference("new", "not signed"),
    ]


def test_every_byte_of_a_bundle_counts(model: Path, tmp_path: Path) -> None:
    """Nothing altered verifies as another manifest; no byte makes a traceback."""
    data = bytearray(sign(model, write_key(tmp_path)))
    public = model_bundle.public_key(tmp_path / "key.pub")
    whole = model_bundle.verify_bundle(bytes(data), key=public, at=NOW)
    for place in range(0, len(data), 7):
        bent = bytes(data[:place]) + bytes([data[place] ^ 1]) + bytes(data[place + 1 :])
        try:
            assert model_bundle.verify_bundle(bent, key=public, at=NOW) == whole
        except Untrusted:
            continue


@pytest.mark.parametrize(
    "bend",
    [
        lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda s: s.update(subject=[]),
        lambda s: s["subject"].append(s["subject"][0]),
        lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
        lambda s: s["predicate"]["resources"].pop(),
        lambda s: s["predicate"]["resources"].reverse(),
        lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]),
        lambda s: s["predicate"]["resources"][0].update(name="../outside"),
        lambda s: s["predicate"]["resources"][0].update(name="/etc/passwd"),
        lambda s: s["predicate"]["resources"][0].update(algorithm="blake2b"),
        lambda s: s["predicate"]["serialization"].update(allow_symlinks=True),
        lambda s: s["predicate"]["serialization"].update(method="shards"),
        lambda s: s["predicate"].update(resources="x"),
        lambda s: s.pop("predicate"),
    ],
)
def test_a_statement_that_contradicts_itself(model: Path, bend: Callable[[Any], object]) -> None:
    statement = signing_statement(Manifest("m", hash_model(model)))
    assert read_manifest(statement).files == hash_model(model)
    bend(statement)
    with pytest.raises(Untrusted, match="HB-S002"):
        read_manifest(statement)


def test_links_and_odd_files_are_not_signed(model: Path, tmp_path: Path) -> None:
    (model / "link").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="a link"):
        hash_model(model)
    assert "link" not in hash_model(model, ignore=["link"])
    (model / "link").unlink()
    (model / "folder").symlink_to(tmp_path)
    with pytest.raises(UserError, match="a link"):
        hash_model(model)
    with pytest.raises(UserError, match="no such"):
        hash_model(tmp_path / "nothing")
    with pytest.raises(UserError, match="files to sign"):
        signing_statement(Manifest("m", {}))
    assert inside(model, model / "a" / "x") == "a/x"
    assert inside(model, tmp_path) is None


def test_keys_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    for read in (model_bundle.private_key, model_bundle.public_key, model_bundle.certificates):
        for name in ("junk", "absent"):
            with pytest.raises(ConfigError):
                read(tmp_path / name)


Usage = dict[str, bool]
OFF: Usage = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[str, ec.EllipticCurvePrivateKey],
    *,
    authority: bool = True,
    length: int | None = None,
    usage: str | None = "key_cert_sign",
    purpose: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    def called(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer[0]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(authority, length if authority else None), True)
    )
    if usage:
        builder = builder.add_extension(x509.KeyUsage(**{**OFF, usage: True}), True)
    if purpose:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
    return builder.sign(issuer[1], hashes.SHA256())


class Chain:
    """A root, an authority and a signer, each with a key of its own."""

    def __init__(self, folder: Path) -> None:
        self.key = model_bundle.private_key(write_key(folder))
        self.keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
        self.root = certificate("root", self.keys[0], ("root", self.keys[0]))

    def of(self, middle: dict[str, Any], signer: dict[str, Any]) -> list[x509.Certificate]:
        between = certificate("middle", self.keys[1], ("root", self.keys[0]), **middle)
        told = {"authority": False, "usage": "digital_signature", **signer}
        return [certificate("signer", self.key, ("middle", self.keys[1]), **told), between]


@pytest.mark.parametrize(
    ("middle", "signer", "why"),
    [
        ({}, {}, ""),
        ({"length": 0}, {}, ""),
        ({}, {"purpose": ExtendedKeyUsageOID.CODE_SIGNING, "usage": None}, ""),
        ({"authority": False}, {}, "not an authority"),
        ({"usage": "digital_signature"}, {}, "may not sign certificates"),
        ({}, {"usage": "key_agreement"}, "not for signatures"),
        ({}, {"usage": None}, "does not say"),
        ({}, {"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "not for signing code"),
    ],
)
def test_chains(
    model: Path, tmp_path: Path, middle: dict[str, Any], signer: dict[str, Any], why: str
) -> None:
    made = Chain(tmp_path)
    data = sign(model, tmp_path / "key.pem", made.of(middle, signer))
    if not why:
        assert model_bundle.verify_bundle(data, roots=[made.root], at=NOW).name == "model"
        return
    with pytest.raises(Untrusted, match=why):
        model_bundle.verify_bundle(data, roots=[made.root], at=NOW)


def test_a_root_of_the_same_name_is_not_the_root(model: Path, tmp_path: Path) -> None:
    made, other = Chain(tmp_path), ec.generate_private_key(ec.SECP256R1())
    data = sign(model, tmp_path / "key.pem", made.of({}, {}))
    forged = certificate("root", other, ("root", other))
    with pytest.raises(Untrusted, match="not issued by the next"):
        model_bundle.verify_bundle(data, roots=[forged], at=NOW)
    with pytest.raises(ConfigError, match="not of this key"):
        sign(model, tmp_path / "key.pem", [made.root])


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    assert CLIENT
    return subprocess.run(
        [CLIENT, *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


@needs_client
@pytest.mark.parametrize("single", [False, True])
def test_the_official_client_verifies_ours(model: Path, tmp_path: Path, single: bool) -> None:
    target = model / "a" / "weights.bin" if single else model
    signature = tmp_path / "ours.sig"
    signature.write_bytes(sign(target, write_key(tmp_path)))
    words = ("verify", "key", "--signature", signature, "--public_key", tmp_path / "key.pub")
    told = run(*words, target)
    assert told.returncode == 0, told.stderr
    (model / "a" / "weights.bin").write_bytes(b"altered")
    assert run(*words, target).returncode != 0


@needs_client
@pytest.mark.parametrize("single", [False, True])
def test_we_verify_the_official_clients(model: Path, tmp_path: Path, single: bool) -> None:
    key, signature = write_key(tmp_path), tmp_path / "theirs.sig"
    target = model / "a" / "weights.bin" if single else model
    told = run("sign", "key", "--signature", signature, "--private_key", key, target)
    assert told.returncode == 0, told.stderr
    public = model_bundle.public_key(tmp_path / "key.pub")
    manifest = model_bundle.verify_bundle(signature.read_bytes(), key=public, at=NOW)
    ignored = [one for one in map(Path, manifest.ignored) if not one.is_absolute()]
    assert manifest.differences(hash_model(target, ignore=list(map(str, ignored)))) == []
    ours = json.loads(sign(target, key))["dsseEnvelope"]["payload"]
    theirs = json.loads(signature.read_bytes())["dsseEnvelope"]["payload"]
    read = [json.loads(b64decode(one))["predicate"]["resources"] for one in (ours, theirs)]
    assert read[0] == read[1]
    assert b64encode(b64decode(ours)).decode() == ours


@needs_client
def test_certificates_both_ways(model: Path, tmp_path: Path) -> None:
    made = Chain(tmp_path)
    chain = made.of({}, {})
    for name, one in (("root", made.root), ("signer", chain[0]), ("middle", chain[1])):
        (tmp_path / f"{name}.pem").write_bytes(one.public_bytes(Encoding.PEM))
    signature = tmp_path / "ours.sig"
    signature.write_bytes(sign(model, tmp_path / "key.pem", chain))
    roots = ("--certificate_chain", tmp_path / "root.pem")
    told = run("verify", "certificate", "--signature", signature, *roots, model)
    assert told.returncode == 0, told.stderr
    theirs = tmp_path / "theirs.sig"
    told = run(
        *("sign", "certificate", "--signature", theirs, "--private_key", tmp_path / "key.pem"),
        *("--signing_certificate", tmp_path / "signer.pem"),
        *("--certificate_chain", tmp_path / "middle.pem", model),
    )
    assert told.returncode == 0, told.stderr
    manifest = model_bundle.verify_bundle(theirs.read_bytes(), roots=[made.root], at=NOW)
    assert manifest.differences(hash_model(model, ignore=GIT)) == []


# --- keyless ---------------------------------------------------------------------------------

KEYLESS = VECTORS / "v1.0.1-sigstore"
SIGNER = ("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2")


def keyless(*, identity: str = SIGNER[0], issuer: str = SIGNER[1], data: bytes = b"") -> Manifest:
    pytest.importorskip("sigstore", reason="needs hauberk[sigstore]")
    from hauberk.adapters.sigstore_bundle import verify_keyless

    return verify_keyless(
        data or (KEYLESS / "model.sig").read_bytes(), identity=identity, issuer=issuer
    )


@needs_vectors
def test_the_published_keyless_signature() -> None:
    manifest = keyless()
    found = hash_model(KEYLESS, ignore=["model.sig", "ignore-me"])
    assert manifest.differences(found) == []
    assert manifest.differences({**found, "signme-1": "sha256:" + "0" * 64}) == [
        Difference("signme-1", "altered")
    ]


@needs_vectors
@pytest.mark.parametrize(
    ("identity", "issuer"),
    [("somebody@example.org", SIGNER[1]), (SIGNER[0], "https://example.org")],
)
def test_a_keyless_signature_of_somebody_else(identity: str, issuer: str) -> None:
    with pytest.raises(Untrusted, match="HB-S002"):
        keyless(identity=identity, issuer=issuer)


@needs_vectors
@pytest.mark.parametrize("part", ["payload", "sig", "rawBytes", "signedEntryTimestamp"])
def test_a_keyless_signature_with_one_byte_changed(part: str) -> None:
    text = (KEYLESS / "model.sig").read_text()
    at = text.index('"', text.index(f'"{part}"') + len(part) + 2) + 21
    other = "A" if text[at] != "A" else "B"
    with pytest.raises(Untrusted):
        keyless(data=(text[:at] + other + text[at + 1 :]).encode())


@needs_vectors
def test_keyless_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sigstore", reason="needs hauberk[sigstore]")
    from hauberk.faces.cli.main import run

    where = ["verify", str(KEYLESS), "--signature", str(KEYLESS / "model.sig")]
    where += ["--ignore", "ignore-me"]
    who = ["--identity", SIGNER[0], "--issuer", SIGNER[1]]
    assert run([*where, *who]) == 0
    assert run([*where, "--identity", "x@example.org", "--issuer", SIGNER[1]]) == 1
    assert run([*where, "--identity", SIGNER[0]]) == 2
    assert run([*where, *who, "--key", "x.pem"]) == 2
    assert run([*where, *who, "--trust-root", "none.json"]) == 2


def test_signing_keyless_needs_a_token(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hauberk.faces.cli.main import run

    monkeypatch.delenv("SIGSTORE_ID_TOKEN", raising=False)
    assert run(["sign", str(model), "--keyless", "-o", str(model.parent / "x.sig")]) == 2
    assert "SIGSTORE_ID_TOKEN" in capsys.readouterr().err
    assert run(["sign", str(model), "-o", str(model.parent / "x.sig")]) == 2
