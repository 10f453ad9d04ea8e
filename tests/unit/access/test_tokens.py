from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

pytest.importorskip("joserfc", reason="the access extra is not installed")

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from hauberk.access.refusal import Stranger, UnknownKey
from hauberk.access.tokens import KeySet, TokenRules, Tokens
from hauberk.core.errors import DataError

NOW = 1_900_000_000.0
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"}, private=True)
UNBOUND = RSAKey.import_key({k: v for k, v in RSA.as_dict(private=True).items() if k != "alg"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
RULES = TokenRules(issuer="https://issuer", audience="hauberk", operators=frozenset({"oidc:root"}))
CLAIMS = {"iss": "https://issuer", "aud": "hauberk", "sub": "joe", "exp": NOW + 60}


def public(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def tokens(*keys: Any) -> Tokens:
    return Tokens(RULES, KeySet.read(public(*(keys or (RSA, EC, ED)))))


def signed(key: Any = RSA, alg: str = "RS256", kid: str | None = "rsa", **changes: Any) -> bytes:
    claims = {name: v for name, v in {**CLAIMS, **changes}.items() if v is not None}
    header = {"alg": alg, **({"kid": kid} if kid is not None else {})}
    return jwt.encode(header, claims, key, algorithms=[alg]).encode()


def raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> bytes:
    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    return b".".join(
        [part(json.dumps(header).encode()), part(json.dumps(claims).encode()), part(signature)]
    )


@pytest.mark.parametrize(
    ("key", "alg", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")]
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_good_token_names_its_subject(key: Any, alg: str, kid: str) -> None:
    found = tokens().identify(signed(key, alg, kid, tenant="acme"), at=NOW)
    assert (found.name, found.tenant, found.role, found.by) == (
        "oidc:joe",
        "acme",
        "client",
        "token",
    )


def test_operators_are_named_by_us_not_by_the_token() -> None:
    assert tokens().identify(signed(sub="root"), at=NOW).role == "operator"
    assert tokens().identify(signed(role="operator", roles=["operator"]), at=NOW).role == "client"


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, None),
        ("openid email", None),
        ("openid hauberk:infer", {"infer"}),
        ("hauberk:fly", set()),
    ],
)
def test_scopes_of_ours_narrow(scope: str | None, scopes: set[str] | None) -> None:
    found = tokens().identify(signed(scope=scope), at=NOW).scopes
    assert found == (None if scopes is None else frozenset(scopes))


BAD = [
    ("another issuer", signed(iss="https://other")),
    ("another audience", signed(aud="other")),
    ("an audience within a word", signed(aud="hauberk-not")),
    ("no audience", signed(aud=None)),
    ("expired", signed(exp=NOW - 31)),
    ("no end", signed(exp=None)),
    ("an end of no number", signed(exp="9999999999")),
    ("an end of true", signed(exp=True)),
    ("not yet", signed(nbf=NOW + 31)),
    ("no subject", signed(sub=None)),
    ("an empty subject", signed(sub="")),
    ("a subject of two lines", signed(sub="a\nb")),
    ("a subject of no text", signed(sub=["root"])),
    ("a tenant of no text", signed(tenant=3)),
    ("another's key of that id", signed(OTHER)),
    ("none", raw({"alg": "none", "kid": "rsa"}, CLAIMS, b"x")),
    ("None", raw({"alg": "None", "kid": "rsa"}, CLAIMS, b"x")),
    ("no algorithm", raw({"kid": "rsa"}, CLAIMS, b"x")),
    ("another algorithm than the key's", signed(UNBOUND, "PS256", "rsa")),
    ("another type's algorithm", raw({"alg": "ES256", "kid": "rsa"}, CLAIMS, b"x" * 64)),
    ("a critical header", raw({"alg": "RS256", "kid": "rsa", "crit": ["b64"]}, CLAIMS, b"x")),
    ("a header of no object", b"W10.e30.eA"),
]


@pytest.mark.parametrize("token", [case[1] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_token_is_a_strangers(token: bytes) -> None:
    with pytest.raises(Stranger) as caught:
        tokens().identify(token, at=NOW)
    assert "joe" not in str(caught.value)


def test_the_public_key_is_no_secret_to_sign_with() -> None:
    for secret in (RSA.as_pem(private=False), json.dumps(RSA.as_dict(private=False)).encode()):
        unsigned = raw({"alg": "HS256", "kid": "rsa"}, CLAIMS).rstrip(b".")
        mac = hmac.new(secret, unsigned, hashlib.sha256).digest()
        token = unsigned + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")
        with pytest.raises(Stranger, match="algorithm"):
            tokens().identify(token, at=NOW)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_flipped_letter_breaks_it(at: int) -> None:
    parts = signed().split(b".")
    middle = len(parts[at]) // 2
    other = b"A" if parts[at][middle : middle + 1] != b"A" else b"B"
    parts[at] = parts[at][:middle] + other + parts[at][middle + 1 :]
    with pytest.raises(Stranger):
        tokens().identify(b".".join(parts), at=NOW)


def test_the_leeway_bears_with_clocks_and_a_remembered_token_ends_too() -> None:
    one = tokens()
    token = signed(exp=NOW)
    assert one.identify(token, at=NOW + 29).name == "oidc:joe"
    with pytest.raises(Stranger):
        one.identify(token, at=NOW + 30)


def test_a_key_that_is_withdrawn_takes_its_tokens_with_it() -> None:
    one, token = tokens(RSA), signed()
    one.identify(token, at=NOW)
    one.renew(KeySet.read(public(EC)))
    with pytest.raises(UnknownKey):
        one.identify(token, at=NOW)
    one.renew(KeySet.read(public(RSA, EC)))
    assert one.identify(token, at=NOW).name == "oidc:joe"


def test_a_set_with_symmetric_keys_alone_is_none() -> None:
    secret = OctKey.generate_key(256, {"kid": "s"}, private=True)
    with pytest.raises(DataError):
        KeySet.read(json.dumps({"keys": [secret.as_dict(private=True)]}).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"keys":3}', b'{"keys":[]}', b'{"keys":[{}]}', b"[" * 9999, b"\xff"],
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        KeySet.read(data)
