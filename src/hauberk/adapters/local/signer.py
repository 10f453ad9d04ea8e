"""Ed25519 keys in a folder, and DSSE envelopes signed and verified with them."""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hauberk.adapters.local.files import locked, make_folder, read_file, write_file
from hauberk.core.digest import canonical_json, digest_bytes
from hauberk.core.errors import ConfigError, DataError, Untrusted
from hauberk.core.ports import Envelope

if TYPE_CHECKING:
    from pathlib import Path

IN_TOTO = "application/vnd.in-toto+json"
OTHER = "application/vnd.hauberk+json"
MAX_PAYLOAD = 1 << 20
_MAX_KEY_FILE = 4096
_MAX_KEYS = 256
_MAX_SIGNATURES = 16


class Ed25519Signer:
    """A :class:`hauberk.core.ports.Signer` over ``signer.key`` and ``trusted/*.pub``.

    The private key is read when something is signed, never to verify; the trusted keys are read
    at every verification, so that a key taken out of the folder counts no more at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._private: Ed25519PrivateKey | None = None
        self._identity: str | None = None

    @classmethod
    def create(cls, folder: Path) -> Ed25519Signer:
        """Open the keys of a folder; make a pair, and trust it, where there is none.

        Raises:
            EnvironmentFault: if the folder cannot be written.
            ConfigError: if there is a key that cannot be read.
        """
        make_folder(folder / "trusted")
        signer = cls(folder)
        with locked(folder / ".lock"):
            if not (folder / "signer.key").exists():
                key = Ed25519PrivateKey.generate()
                text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                # The public half first: killed in between, the next call replaces both.
                write_file(folder / "trusted" / "signer.pub", _pem(key), mode=0o644)
                write_file(folder / "signer.key", text)
        signer._key()  # a key that cannot be read shows now, not at the first signature
        return signer

    @property
    def key_id(self) -> str:
        if self._identity is None:
            self._identity = digest_bytes(self._key().public_key().public_bytes_raw())
        return self._identity

    def public_pem(self) -> bytes:
        """The public key, to be put into another machine's ``trusted`` folder."""
        return _pem(self._key())

    def trusted(self) -> dict[str, Ed25519PublicKey]:
        """The keys whose signatures count, by their key id.

        Raises:
            ConfigError: if one of the files is not an Ed25519 public key.
        """
        files = sorted((self.folder / "trusted").glob("*.pub"))
        if len(files) > _MAX_KEYS:
            raise ConfigError(f"more than {_MAX_KEYS} trusted keys", where=str(self.folder))
        keys = [_public(path) for path in files]
        return {digest_bytes(key.public_bytes_raw()): key for key in keys}

    def sign(self, statement: dict[str, Any]) -> Envelope:
        """Put a statement into a signed DSSE envelope.

        Raises:
            ConfigError: if there is no private key here.
            DataError: if the statement is not plain JSON, or too large.
        """
        try:
            payload = canonical_json(statement)
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"not plain JSON: {error}", where="statement") from None
        if len(payload) > MAX_PAYLOAD:
            raise DataError(f"{len(payload)} bytes, at most {MAX_PAYLOAD}", where="statement")
        kind = _payload_type(statement)
        signature = self._key().sign(encode(kind, payload))
        return Envelope(
            payloadType=kind,
            payload=b64encode(payload).decode(),
            signatures=[{"keyid": self.key_id, "sig": b64encode(signature).decode()}],
        )

    def verify(self, envelope: Envelope) -> dict[str, Any]:
        keys = self.trusted()
        if not keys:
            raise _untrusted("no key is trusted here", hint=f"put one into {self.folder}/trusted")
        if len(envelope.signatures) > _MAX_SIGNATURES or len(envelope.payload) > 2 * MAX_PAYLOAD:
            raise _untrusted("the envelope is too large")
        payload = _decode(envelope.payload)
        message = encode(envelope.payloadType, payload)
        # A key id is only a hint, which whoever sends the envelope writes: all keys are tried.
        signatures = [_decode(item.get("sig", "")) for item in envelope.signatures]
        if not any(_signed(key, sig, message) for sig in signatures for key in keys.values()):
            raise _untrusted(
                "no trusted key signed the statement",
                hint="sign it with a trusted key, or add the signer's key to `keys/trusted`",
            )
        statement = _statement(payload)
        if _payload_type(statement) != envelope.payloadType:
            raise _untrusted(f"payload type {envelope.payloadType[:80]!r} is not the statement's")
        return statement

    def _key(self) -> Ed25519PrivateKey:
        if self._private is None:
            self._private = _private(self.folder / "signer.key")
        return self._private


def encode(payload_type: str, payload: bytes) -> bytes:
    """What a DSSE signature covers: the pre-authentication encoding (DSSE v1, protocol.md)."""
    kind = payload_type.encode("utf-8", "surrogatepass")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _payload_type(statement: dict[str, Any]) -> str:
    kind = statement.get("_type")
    return IN_TOTO if isinstance(kind, str) and kind.startswith("https://in-toto.io/") else OTHER


def _signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _decode(text: str) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9+/_-]*={0,2}", text):
        raise _untrusted("the envelope is not base64")
    try:
        return b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise _untrusted("the envelope is not base64") from None


def _statement(payload: bytes) -> dict[str, Any]:
    try:
        statement = json.loads(payload)
    except (ValueError, RecursionError):
        statement = None
    if not isinstance(statement, dict):
        raise _untrusted("the signed payload is not a JSON object")
    return statement


def _private(path: Path) -> Ed25519PrivateKey:
    data = read_file(path, limit=_MAX_KEY_FILE)
    if data is None:
        raise ConfigError("no private key", where=str(path), hint="`hauberk keys` makes one")
    if path.stat().st_mode & 0o077:
        raise ConfigError(
            "others may read the private key", where=str(path), hint=f"chmod 600 {path}"
        )
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("not an Ed25519 private key in PEM", where=str(path))
    return key


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _public(path: Path) -> Ed25519PublicKey:
    data = read_file(path, limit=_MAX_KEY_FILE) or b""
    try:
        if len(data) == 32:
            return Ed25519PublicKey.from_public_bytes(data)
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            "not an Ed25519 public key", where=str(path), hint="PEM, or the 32 raw bytes"
        )
    return key


def _untrusted(why: str, *, hint: str = "") -> Untrusted:
    return Untrusted(f"HB-S002: {why}", hint=hint)
