"""401, 403, 429: the access layer as clients meet it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hauberk.access.quota import Fallback, MemoryQuotas
from hauberk.adapters.local.throttles import SECONDS, Throttles
from hauberk.core.errors import ConfigError, EnvironmentFault
from hauberk.core.ports import Routing
from hauberk.testing.asking import CLIENT, OPERATOR, ask, fake_gateway, json_body
from hauberk.testing.gateway_fakes import FakeWorld, MemoryLog

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.gateway.compose import Gateway

INFER, PREDICT = "/v2/models/m/infer", "/v1/models/m:predict"
X = np.full((1, 1, 2, 3), 0.5, np.float32)


def gateway(folder: Path, log: MemoryLog | None = None, **spec: Any) -> Gateway:
    blobs = folder / "blobs"
    blobs.mkdir(exist_ok=True)
    world = FakeWorld(blobs)
    routing = Routing(primary=world.linear((1, 2, 3)))
    sink = log or MemoryLog()
    return fake_gateway(folder / "state", world, sink, routing=routing, spec=spec)


def infer(one: Gateway, rows: int = 1, token: str = CLIENT) -> Any:
    return ask(one, "POST", INFER, token=token, json=json_body(np.repeat(X, rows, 0)))


@pytest.mark.parametrize(
    ("quota", "calls", "wait"),
    [
        ({"requests_per_second": 0.5, "burst": 4.0}, [1, 1, 1], 2),
        ({"rows_per_second": 1.0, "burst": 5.0}, [5, 3], 3),
        ({"rows_per_day": 86.4}, [80, 7], 600),
        ({"bytes_per_second": 10.0, "burst": 25.0}, [1, 1, 1], None),
    ],
)
def test_over_a_quota_is_a_429_that_says_when_to_come_back(
    tmp_path: Path, quota: dict[str, float], calls: list[int], wait: int | None
) -> None:
    one = gateway(tmp_path, quota=quota)
    answers = [infer(one, rows) for rows in calls]
    assert [a.status_code for a in answers] == [200] * (len(calls) - 1) + [429]
    again = int(answers[-1].headers["retry-after"])
    assert again >= 1
    assert wait is None or abs(again - wait) <= 1
    assert infer(one, token=OPERATOR).status_code == 200, "another principal has its own"
    assert ask(one, "GET", "/v2/models/m").status_code == 200


def test_more_at_once_than_ever_fits_is_told_to_stay_away(tmp_path: Path) -> None:
    one = gateway(tmp_path, quota={"rows_per_second": 1.0, "burst": 5.0})
    answer = infer(one, rows=6)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "86400")


def test_seats_bound_the_requests_in_flight(tmp_path: Path) -> None:
    one = gateway(tmp_path, quota={"concurrent": 1})
    visit = one.app.entrance.proofs.identify(f"Bearer {CLIENT}".encode())
    with one.app.entrance.seat(visit, "m"):
        assert infer(one).status_code == 429
        assert infer(one, token=OPERATOR).status_code == 200
    assert infer(one).status_code == 200
    assert ask(one, "POST", INFER, content=b"{").status_code == 400
    assert infer(one).status_code == 200, "a request that failed gave its seat back"


class Dead(MemoryQuotas):
    def take(self, charges: Any, *, at: float) -> float:
        raise EnvironmentFault("no answer", where="quota.redis")


def test_without_counts_the_policy_decides_and_nothing_is_a_500(tmp_path: Path) -> None:
    one = gateway(tmp_path, quota={"requests_per_second": 1.0, "burst": 3.0})
    one.app.entrance.quotas = Dead()
    answer = infer(one)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "redis" not in answer.text
    one.app.entrance.quotas = Fallback(Dead())
    assert [infer(one).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_sqlite_keeps_the_counts_over_a_restart(tmp_path: Path) -> None:
    quota = {"rows_per_day": 4.0, "backend": "sqlite"}
    assert infer(gateway(tmp_path, quota=quota), rows=3).status_code == 200
    assert infer(gateway(tmp_path, quota=quota), rows=3).status_code == 429


CEDAR = """
@id("acme-reads") permit(principal in Tenant::"default", action == Action::"read", resource);
@id("olga") permit(principal == Client::"olga", action, resource);
"""


def test_cedar_decides_and_its_id_is_in_the_record(tmp_path: Path) -> None:
    pytest.importorskip("cedarpy", reason="the access extra is not installed")
    file = tmp_path / "access.cedar"
    file.write_text(CEDAR)
    log = MemoryLog()
    one = gateway(tmp_path, log, access={"policy": str(file)})
    assert ask(one, "GET", "/v2/models/m").status_code == 200
    assert infer(one).status_code == 403
    assert ask(one, "POST", PREDICT, json={"instances": X.tolist()}).status_code == 403
    assert infer(one, token=OPERATOR).status_code == 200

    file.write_text(CEDAR.replace('action == Action::"read"', "action"))
    assert one.reception.reload() == ["access.cedar read"]
    assert infer(one).status_code == 200

    for broken in ("permit(", "", '@id("a") permit(principal, action, resource) when {x};'):
        file.write_text(broken)
        (line,) = one.reception.reload()
        assert line.startswith("access.cedar not taken")
        assert infer(one).status_code == 200, "the last good policy stays"
    file.unlink()
    one.reception.reload()
    assert infer(one).status_code == 200

    one.tap.start()
    one.tap.close()
    assert {record.policy for record in log.records} == {"olga", "acme-reads"}


def test_a_gateway_without_a_readable_policy_does_not_start(tmp_path: Path) -> None:
    pytest.importorskip("cedarpy", reason="the access extra is not installed")
    for text in (None, "permit("):
        if text is not None:
            (tmp_path / "p").write_text(text)
        with pytest.raises(ConfigError):
            gateway(tmp_path, access={"policy": str(tmp_path / "p")})


def test_a_revoked_key_is_turned_away_without_a_restart(tmp_path: Path) -> None:
    from hauberk.core.digest import digest_bytes

    one = gateway(tmp_path)
    assert infer(one).status_code == 200
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / "revoked-keys").write_text(digest_bytes(CLIENT.encode()) + "  # lost\n")
    one.reception.reload()
    assert infer(one).status_code == 401
    assert infer(one, token=OPERATOR).status_code == 200


@pytest.mark.parametrize(
    ("access", "why"),
    [
        ({"issuer": "https://i"}, "audience and jwks"),
        ({"issuer": "https://i", "audience": "a", "jwks": "http://i/keys"}, "https"),
        ({"spiffe_domain": "d"}, "tls_client_ca"),
    ],
)
def test_half_a_description_is_refused(tmp_path: Path, access: dict[str, str], why: str) -> None:
    pytest.importorskip("joserfc", reason="the access extra is not installed")
    with pytest.raises(ConfigError, match=why):
        gateway(tmp_path, access=access)


def test_tokens_of_an_issuer_and_its_next_key(tmp_path: Path) -> None:
    pytest.importorskip("joserfc", reason="the access extra is not installed")
    from joserfc import jwt
    from joserfc.jwk import ECKey

    keys = [ECKey.generate_key("P-256", {"kid": str(n)}, private=True) for n in range(3)]
    file = tmp_path / "jwks.json"

    def publish(*numbers: int) -> None:
        shown = [keys[n].as_dict(private=False) for n in numbers]
        file.write_text(json.dumps({"keys": shown}))

    def token(number: int, **changes: Any) -> str:
        claims = {"iss": "https://i", "aud": "hauberk", "sub": "ann", "exp": time.time() + 60}
        return jwt.encode({"alg": "ES256", "kid": str(number)}, {**claims, **changes}, keys[number])

    publish(0)
    access = {"issuer": "https://i", "audience": "hauberk", "jwks": str(file)}
    one = gateway(tmp_path, access=access)
    assert infer(one, token=token(0)).status_code == 200
    assert infer(one, token=token(0, aud="other")).status_code == 401
    assert infer(one, token=token(0, exp=time.time() - 60)).status_code == 401
    assert infer(one, token=token(0)[:-4] + "AAAA").status_code == 401
    assert infer(one, token=CLIENT).status_code == 200, "keys count beside tokens"

    publish(1, 2)
    one.app.entrance.clock = lambda: time.time() + 11  # the issuer was asked ten seconds ago
    assert infer(one, token=token(1)).status_code == 200, "a newer key is fetched"
    assert infer(one, token=token(0)).status_code == 401, "the old one is gone"


def test_a_client_that_is_held_gets_less_for_a_while_and_is_told_why(tmp_path: Path) -> None:
    one, throttles = gateway(tmp_path), Throttles(tmp_path / "state")
    now = time.time()
    throttles.hold("default", "alice", "similar queries", at=now)
    throttles.hold("other", "olga", "another tenant's", at=now)
    assert one.reception.hears()
    assert not one.reception.hears()
    assert "throttles.json read" in one.reception.reload()
    answers = [infer(one) for _ in range(14)]
    codes = [answer.status_code for answer in answers]
    assert codes[:10] == [200] * 10
    assert codes[-1] == 429
    assert "resemble a search" in answers[-1].text
    assert infer(one, token=OPERATOR).status_code == 200
    throttles.hold("default", "alice", "long over", at=now - 2 * SECONDS)
    one.reception.reload()
    assert infer(one).status_code == 200
    (tmp_path / "state" / "throttles.json").write_text("{")
    assert any("not taken" in line for line in one.reception.reload())
