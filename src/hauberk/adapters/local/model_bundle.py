"""Model signatures as Sigstore bundles: signed and verified with a key or a certificate.

Sigstore bundle v0.3 around a DSSE envelope around the statement of
:mod:`hauberk.govern.model_signing`. ECDSA on P-256, P-384 or P-521 with the curve's own hash.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import Certificate, load_der_x509_certificate, load_pem_x509_certificates

from hauberk.adapters.local.certificates import check_chain
from hauberk.adapters.local.files import read_file
from hauberk.adapters.local.signer import IN_TOTO, encode
from hauberk.core.digest import canonical_json
from hauberk.core.errors import ConfigError, DataError, Untrusted, UserError
from hauberk.govern.model_signing import Manifest, read_manifest, signing_statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MAX_BUNDLE = 64 << 20
_MAX_KEY = 1 << 20
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


def sign_bundle(
    manifest: Manifest, key: ec.EllipticCurvePrivateKey, chain: Sequence[Certificate] = ()
) -> bytes:
    """The bundle over a manifest; with a ``chain``, the signer's certificate first, it names them.

    Raises:
        ConfigError: if the first certificate is not the key's.
        UserError: if the manifest has no file, or too many.
    """
    public = key.public_key()
    if chain and _pem(public) != _pem(chain[0].public_key()):
        raise ConfigError("the certificate is not of this key", where="sign")
    payload = canonical_json(signing_statement(manifest))
    signature = key.sign(encode(IN_TOTO, payload), ec.ECDSA(_hash(public)))
    material: dict[str, Any] = {"publicKey": {"hint": sha256(_pem(public)).hexdigest()}}
    if chain:
        raw = [b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
        material = {"x509CertificateChain": {"certificates": [{"rawBytes": one} for one in raw]}}
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": b64encode(payload).decode(),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return canonical_json(bundle)


def verify_bundle(
    data: bytes,
    *,
    key: ec.EllipticCurvePublicKey | None = None,
    roots: Sequence[Certificate] = (),
    at: datetime,
) -> Manifest:
    """The manifest of a bundle that the key signed, or a certificate below one of the roots.

    Raises:
        Untrusted: if neither did, the certificate does not hold at time ``at``, or the bundle is
            malformed or of a kind that cannot be checked here.
    """
    try:
        bundle = json.loads(data)
        if bundle["mediaType"] != MEDIA_TYPE:
            raise _refuse(f"a bundle of type {str(bundle['mediaType'])[:80]!r}")
        material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
        [signature] = envelope["signatures"]
        kind, payload = str(envelope["payloadType"]), b64decode(envelope["payload"], validate=True)
        signed = b64decode(signature["sig"], validate=True)
        public = key or _certified(material, roots, at)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise _refuse("the bundle is malformed") from None
    try:
        public.verify(signed, encode(kind, payload), ec.ECDSA(_hash(public)))
    except InvalidSignature:
        raise _refuse("the signature is not of this key, or the statement was altered") from None
    if kind != IN_TOTO:
        raise _refuse(f"a payload of type {kind[:80]!r}")
    try:
        return read_manifest(json.loads(payload))
    except (ValueError, RecursionError):
        raise _refuse("the signed statement is not JSON") from None


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """An elliptic-curve key from an unencrypted PEM file.

    Raises:
        ConfigError: if the file holds none.
    """
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise ConfigError(
            "not an unencrypted private key on P-256, P-384 or P-521 in PEM",
            where=str(path),
            hint="`openssl ecparam -name prime256v1 -genkey -noout` makes one",
        )
    return key


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """An elliptic-curve public key from a PEM file.

    Raises:
        ConfigError: if the file holds none.
    """
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise ConfigError("not a public key on P-256, P-384 or P-521 in PEM", where=str(path))
    return key


def certificates(path: Path) -> list[Certificate]:
    """All certificates of a PEM file.

    Raises:
        ConfigError: if the file holds none.
    """
    try:
        return load_pem_x509_certificates(_read(path))
    except ValueError:
        raise ConfigError("no certificates in PEM", where=str(path)) from None


def _certified(
    material: dict[str, Any], roots: Sequence[Certificate], at: datetime
) -> ec.EllipticCurvePublicKey:
    if "certificate" in material:
        raise _refuse("signed keyless: only Sigstore's own client verifies its identity")
    if not roots:
        raise UserError("nothing to verify by", hint="give the signer's --key or a --root")
    if "publicKey" in material:
        raise _refuse("signed with a bare key, not with a certificate")
    listed = material["x509CertificateChain"]["certificates"]
    chain = [load_der_x509_certificate(b64decode(one["rawBytes"])) for one in listed[:16]]
    public = check_chain(chain, roots, at=at)
    if public.curve.name not in _HASHES:
        raise _refuse(f"a certificate for a key on {public.curve.name}")
    return public


def _hash(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    return _HASHES[key.curve.name]


def _pem(key: Any) -> bytes:
    text: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


def _read(path: Path) -> bytes:
    data = read_file(path, limit=_MAX_KEY)
    if data is None:
        raise ConfigError("no such file", where=str(path))
    return data


def read_bundle(path: Path) -> bytes:
    """The bytes of a bundle.

    Raises:
        DataError: if there is no such file, or it is too large.
    """
    data = read_file(path, limit=MAX_BUNDLE)
    if data is None:
        raise DataError("no such file", where=str(path))
    return data


def _refuse(why: str) -> Untrusted:
    return Untrusted(f"HB-S002: {why}")
