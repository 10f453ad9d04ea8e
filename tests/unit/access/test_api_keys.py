from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hauberk.access.keys import ApiKeys
from hauberk.access.refusal import Stranger
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError
from hauberk.core.spec import ClientSpec

NOW = datetime(2030, 6, 1, tzinfo=UTC).timestamp()


def spec(token: str = "t", **more: Any) -> ClientSpec:
    return ClientSpec(**{"name": "ann", "token_sha256": digest_bytes(token.encode()), **more})


def test_a_key_names_its_owner() -> None:
    keys = ApiKeys([spec(tenant="acme", scopes=("infer",)), spec("u", name="bob", role="operator")])
    ann, bob = keys.identify(b"t", at=NOW), keys.identify(b"u", at=NOW)
    assert (ann.name, ann.tenant, ann.scopes, ann.role) == (
        "ann",
        "acme",
        frozenset({"infer"}),
        "client",
    )
    assert (bob.name, bob.scopes, bob.role) == ("bob", None, "operator")


@pytest.mark.parametrize(
    ("expires", "good"),
    [
        ("", True),
        ("2030-06-02", True),
        ("2030-06-01", False),  # the day's first moment
        ("2030-06-01T00:00:01+00:00", True),
        ("2030-06-01T01:00:00+01:00", False),
        ("2029-12-31", False),
    ],
)
def test_a_key_ends(expires: str, good: bool) -> None:
    keys = ApiKeys([spec(expires=expires)])
    if good:
        assert keys.identify(b"t", at=NOW).name == "ann"
        return
    with pytest.raises(Stranger, match="no longer good"):
        keys.identify(b"t", at=NOW)


def test_a_revoked_key_is_no_longer_good() -> None:
    keys = ApiKeys([spec(), spec("u", name="bob")])
    revoked = frozenset({digest_bytes(b"t")})
    assert keys.identify(b"u", at=NOW, revoked=revoked).name == "bob"
    with pytest.raises(Stranger):
        keys.identify(b"t", at=NOW, revoked=revoked)


@pytest.mark.parametrize("token", [b"", b"T", b"tt", b"t\n", b"\xff", digest_bytes(b"t").encode()])
def test_any_other_token_is_a_strangers(token: bytes) -> None:
    with pytest.raises(Stranger) as caught:
        ApiKeys([spec()]).identify(token, at=NOW)
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"expires": "soon"}, "moment"),
        ({"scopes": ("fly",)}, "unknown scope 'fly'"),
        ({"name": "oidc:ann"}, "may not begin"),
        ({"name": "spiffe://x/y"}, "may not begin"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_the_start(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ApiKeys([spec(**more)])
