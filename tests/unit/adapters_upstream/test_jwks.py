from __future__ import annotations

import json

import pytest

pytest.importorskip("joserfc", reason="the access extra is not installed")

from joserfc.jwk import ECKey

from hauberk.adapters.upstream.jwks import Jwks, source
from hauberk.core.errors import ConfigError, EnvironmentFault

SET = json.dumps(
    {"keys": [ECKey.generate_key("P-256", {"kid": "a"}, private=True).as_dict(private=False)]}
).encode()


class Issuer:
    def __init__(self) -> None:
        self.asked, self.down = 0, False

    def __call__(self) -> bytes:
        self.asked += 1
        if self.down:
            raise EnvironmentFault("down")
        return SET


def test_a_set_is_kept_renewed_and_asked_for_no_oftener_than_bearable() -> None:
    issuer = Issuer()
    jwks = Jwks(issuer, fresh=300, pause=10, stale=1000)
    first = jwks.load(0.0)
    assert jwks.load(299.0) is first
    assert issuer.asked == 1
    jwks.load(299.0, renew=True)
    jwks.load(300.0, renew=True)
    assert issuer.asked == 2, "whoever sends unknown ids cannot make us ask without end"
    jwks.load(599.0)
    assert issuer.asked == 3


def test_an_issuer_that_is_down_is_borne_for_a_while() -> None:
    issuer = Issuer()
    jwks = Jwks(issuer, fresh=300, pause=10, stale=1000)
    first = jwks.load(0.0)
    issuer.down = True
    assert jwks.load(1299.0) is first
    with pytest.raises(EnvironmentFault):
        jwks.load(1300.0)
    issuer.down = False
    assert jwks.load(1310.0).keys.keys() == {"a"}


def test_without_an_issuer_there_are_no_keys() -> None:
    issuer = Issuer()
    issuer.down = True
    with pytest.raises(EnvironmentFault):
        Jwks(issuer).load(0.0)


@pytest.mark.parametrize("place", ["http://issuer/keys", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_place_that_others_could_answer_for_is_refused(place: str) -> None:
    with pytest.raises(ConfigError):
        source(place)
