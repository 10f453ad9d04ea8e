"""Chains of certificates for signing code: each issued by the next, up to a trusted root.

RFC 5280, section 6, as far as a chain for signatures needs it: names, signatures, validity, the
basic constraints and key usages. No revocation lists; a critical extension that is not known here
is refused. The rules of web servers, which libraries enforce, do not fit signing certificates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import (
    BasicConstraints,
    ExtendedKeyUsage,
    ExtensionNotFound,
    KeyUsage,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from hauberk.core.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography.x509 import Certificate

_KNOWN = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}
_MOST = 8


def check_chain(
    chain: Sequence[Certificate], roots: Sequence[Certificate], *, at: datetime
) -> ec.EllipticCurvePublicKey:
    """The key of the first certificate, if the chain leads to a root and holds at time ``at``.

    A chain may leave its root out, or end in it.

    Raises:
        Untrusted: if it does not, or the first certificate is not for signatures on an elliptic
            curve.
    """
    if not 0 < len(chain) <= _MOST:
        raise _refuse(f"a chain of {len(chain)} certificates, not 1…{_MOST}")
    _check_signer(chain[0])
    path = list(chain)
    if path[-1] not in roots:
        path.append(_issuer(path[-1], roots))
    for depth, one in enumerate(path):
        _check_one(one, at)
        if depth:
            _check_authority(one, below=depth - 1)
            _check_issued(path[depth - 1], one)
    key = chain[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _refuse("the certificate's key is not on an elliptic curve")
    return key


def _issuer(last: Certificate, roots: Sequence[Certificate]) -> Certificate:
    for root in roots:
        if root.subject == last.issuer:
            return root
    raise _refuse("the chain does not lead to a trusted root")


def _check_one(one: Certificate, at: datetime) -> None:
    if not one.not_valid_before_utc <= at <= one.not_valid_after_utc:
        raise _refuse("a certificate of the chain is not valid at this time")
    for extension in one.extensions:
        if extension.critical and extension.oid not in _KNOWN:
            raise _refuse(f"a critical extension {extension.oid.dotted_string} that is not known")


def _check_issued(one: Certificate, issuer: Certificate) -> None:
    try:
        one.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        raise _refuse("a certificate of the chain was not issued by the next") from None


def _check_authority(one: Certificate, *, below: int) -> None:
    """May this certificate issue others, with ``below`` authorities between it and the signer?"""
    try:
        constraints = one.extensions.get_extension_for_class(BasicConstraints).value
    except ExtensionNotFound:
        raise _refuse("an issuer in the chain is not an authority") from None
    if not constraints.ca:
        raise _refuse("an issuer in the chain is not an authority")
    if constraints.path_length is not None and below > constraints.path_length:
        raise _refuse("the chain is longer than an authority allows")
    usage = _usage(one)
    if usage is not None and not usage.key_cert_sign:
        raise _refuse("an issuer in the chain may not sign certificates")


def _check_signer(one: Certificate) -> None:
    usage = _usage(one)
    try:
        purposes = list(one.extensions.get_extension_for_class(ExtendedKeyUsage).value)
    except ExtensionNotFound:
        purposes = None
    if usage is None and purposes is None:
        raise _refuse("the certificate does not say that it is for signatures")
    if usage is not None and not usage.digital_signature:
        raise _refuse("the certificate is not for signatures")
    if purposes is not None and ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise _refuse("the certificate is not for signing code")


def _usage(one: Certificate) -> KeyUsage | None:
    try:
        return one.extensions.get_extension_for_class(KeyUsage).value
    except ExtensionNotFound:
        return None


def _refuse(why: str) -> Untrusted:
    return Untrusted(f"HB-S002: {why}")
