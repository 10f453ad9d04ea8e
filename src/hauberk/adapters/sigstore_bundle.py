"""Keyless model signatures, by Sigstore's own client; needs the extra ``sigstore``.

A short-lived certificate names who signed, by which issuer's word, and a public log shows when.
Verifying works without a network, by the trust root that the client ships; signing needs one.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hauberk.adapters.local.signer import IN_TOTO
from hauberk.core.digest import canonical_json
from hauberk.core.errors import EnvironmentFault, Untrusted
from hauberk.govern.model_signing import read_manifest, signing_statement

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.govern.model_signing import Manifest

_HINT = "pip install 'hauberk[sigstore]'"


def verify_keyless(
    data: bytes, *, identity: str, issuer: str, trust_root: Path | None = None
) -> Manifest:
    """The manifest of a bundle that ``identity`` signed, as ``issuer`` vouched.

    ``trust_root`` is a file of Sigstore's form; without it the public good instance is trusted.

    Raises:
        Untrusted: if somebody else signed, or certificate, log or signature do not hold.
        EnvironmentFault: if Sigstore's client is not installed, or the trust root cannot be read.
    """
    models, verify = _client("sigstore.models"), _client("sigstore.verify")
    try:
        if trust_root is None:
            verifier = verify.Verifier.production(offline=True)
        else:
            root = models.TrustedRoot.from_file(str(trust_root))
            verifier = verify.Verifier(trusted_root=root)
    except Exception as error:
        raise EnvironmentFault(
            f"the trust root cannot be read: {str(error)[:200]}", where=str(trust_root or "")
        ) from None
    try:
        bundle = models.Bundle.from_json(data)
        policy = verify.policy.Identity(identity=identity, issuer=issuer)
        kind, payload = verifier.verify_dsse(bundle, policy)
        statement = json.loads(payload)
    except Exception as error:  # the client raises of many kinds; none of them is a yes
        told = " ".join(str(error).split())[:200]
        raise Untrusted(f"HB-S002: the keyless signature does not hold: {told}") from None
    if kind != IN_TOTO:
        raise Untrusted(f"HB-S002: a payload of type {str(kind)[:80]!r}")
    return read_manifest(statement)


def sign_keyless(manifest: Manifest, token: str) -> bytes:
    """A bundle over a manifest, signed for whom an OpenID ``token`` names; needs the network.

    Raises:
        EnvironmentFault: if Sigstore's client is not installed, or its services do not answer.
    """
    sign, models, oidc = (_client(f"sigstore.{name}") for name in ("sign", "models", "oidc"))
    dsse = _client("sigstore.dsse")
    statement = dsse.Statement(canonical_json(signing_statement(manifest)))
    try:
        trust = models.ClientTrustConfig.production()
        context = sign.SigningContext.from_trust_config(trust)
        with context.signer(oidc.IdentityToken(token)) as signer:
            bundle = signer.sign_dsse(statement)
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        raise EnvironmentFault(f"Sigstore did not sign: {told}") from None
    return str(bundle.to_json()).encode()


def _client(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise EnvironmentFault("Sigstore's client is not installed", hint=_HINT) from None
