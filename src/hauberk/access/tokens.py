"""Tokens: JSON Web Tokens of one OIDC issuer (RFC 7519, RFC 8725)."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from hauberk.access.principal import ACTIONS, Principal
from hauberk.access.refusal import Stranger, UnknownKey
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import Key

# Signatures alone: a key of ours that checks cannot make one, so no HMAC, and never "none".
ALGORITHMS: dict[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA", "Ed25519"),
}
FORM = re.compile(rb"[A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{1,8192}\.[A-Za-z0-9_-]{1,1400}\Z")
_MAX_KEYS, _MAX_NAME, _REMEMBERED = 64, 256, 4096


@dataclass(frozen=True)
class KeySet:
    """An issuer's public keys by key id."""

    keys: Mapping[str, Key]

    @classmethod
    def read(cls, data: bytes) -> KeySet:
        """Read a JWK set; keys that do not sign, symmetric ones among them, are passed over.

        Raises:
            DataError: if it is none, or no key of it can be used.
        """
        from joserfc.errors import JoseError  # noqa: PLC0415 - of an extra
        from joserfc.jwk import import_key  # noqa: PLC0415

        try:
            listed = json.loads(data)["keys"][:_MAX_KEYS]
            fit = [one for one in listed if one["kty"] in ALGORITHMS and one.get("use") != "enc"]
            private = {"d", "p", "q", "k"}
            keys = {
                str(one.get("kid", "")): import_key(
                    {name: value for name, value in one.items() if name not in private}
                )
                for one in fit
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, JoseError):
            raise DataError("not a JWK set", where="jwks") from None
        if not keys:
            raise DataError("no key for signatures in it", where="jwks")
        return cls(keys)


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """Whose tokens, for whom; ``leeway`` in seconds bears with clocks that differ."""

    issuer: str
    audience: str
    tenant_claim: str = "tenant"
    operators: frozenset[str] = frozenset()
    leeway: float = 30.0


@dataclass
class Tokens:
    """Verifies tokens; what was verified is remembered by digest until it ends or keys change."""

    rules: TokenRules
    keys: KeySet
    _seen: OrderedDict[bytes, tuple[Principal, float]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def renew(self, keys: KeySet) -> None:
        """Take another key set; all tokens are verified anew."""
        with self._lock:
            self.keys = keys
            self._seen.clear()

    def identify(self, token: bytes, *, at: float) -> Principal:
        """The subject of a token, as ``oidc:SUBJECT``.

        Raises:
            UnknownKey: if its key is not in the set.
            Stranger: if anything else about it is not as it should be.
        """
        digest = hashlib.sha256(token).digest()
        with self._lock:
            keys, known = self.keys, self._seen.get(digest)
        if known is None:
            claims = verify(token, keys)
            known = _principal(claims, self.rules), _check(claims, self.rules, at)
            with self._lock:
                if self.keys is keys:
                    self._seen[digest] = known
                    if len(self._seen) > _REMEMBERED:
                        self._seen.popitem(last=False)
        if at >= known[1]:
            raise Stranger("the token is no longer good")
        return known[0]


def verify(token: bytes, keys: KeySet) -> dict[str, Any]:
    """The claims of a token that a key of the set signed, by the algorithm of that key's type.

    Raises:
        UnknownKey: if its key is not in the set.
        Stranger: if it is no such token.
    """
    from joserfc import jwt  # noqa: PLC0415 - of an extra
    from joserfc.errors import JoseError  # noqa: PLC0415

    if not FORM.match(token):
        raise Stranger("not a signed token")
    try:
        encoded = token.partition(b".")[0]
        header = json.loads(urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)))
        name, algorithm = header.get("kid", ""), header["alg"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Stranger("not a signed token") from None
    if "crit" in header or not isinstance(name, str):
        raise Stranger("not a token of a form that is read here")
    key = keys.keys.get(name)
    if key is None:
        raise UnknownKey("the token's key is not known")
    declared = key.as_dict(private=False).get("alg", algorithm)
    if algorithm not in ALGORITHMS.get(key.key_type, ()) or algorithm != declared:
        raise Stranger("the token's algorithm is not its key's")
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm]).claims
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Stranger("the token's signature is not good") from None
    return dict(claims)


def _check(claims: dict[str, Any], rules: TokenRules, at: float) -> float:
    """When the token ends, leeway included."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != rules.issuer or rules.audience not in audiences:
        raise Stranger("the token is of another issuer or for another audience")
    ends, begins = _number(claims.get("exp")), _number(claims.get("nbf", 0))
    if ends is None or begins is None or begins - rules.leeway > at:
        raise Stranger("the token says not when it is good, or is not good yet")
    return ends + rules.leeway


def _principal(claims: dict[str, Any], rules: TokenRules) -> Principal:
    subject, tenant = claims.get("sub"), claims.get(rules.tenant_claim, "default")
    for text in (subject, tenant):
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_NAME or not text.isprintable():
            raise Stranger("the token's subject or tenant cannot be used as a name")
    name = f"oidc:{subject}"
    named = str(claims.get("scope", "")).split()
    ours = {one.removeprefix("hauberk:") for one in named if one.startswith("hauberk:")}
    return Principal(
        name,
        "operator" if name in rules.operators else "client",
        str(tenant),
        frozenset(ours & set(ACTIONS)) if ours else None,
        "token",
    )


def _number(value: object) -> float | None:
    """A claim's number of seconds; a boolean, NaN or an infinity is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return None
    return float(value)
