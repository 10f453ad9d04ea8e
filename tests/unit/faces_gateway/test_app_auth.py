from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError
from hauberk.core.spec import ClientSpec
from hauberk.faces.gateway.body import Headers
from hauberk.faces.gateway.faults import BadRequest, Unauthenticated
from hauberk.faces.gateway.identity import Clients, Proofs
from hauberk.testing.asking import CLIENT, OPERATOR, ask, clients, json_body

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hauberk.testing.gateway_bench import Bench

OPEN = [("GET", "/v2/health/live"), ("GET", "/v2/health/ready")]
FOR_CLIENTS = [
    ("GET", "/v2"),
    ("GET", "/v2/"),
    ("GET", "/v2/models/m"),
    ("GET", "/v2/models/m/ready"),
    ("POST", "/v2/models/m/infer"),
    ("POST", "/v1/models/m:predict"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/m"),
    ("POST", "/v2/repository/index"),
]
FOR_OPERATORS = [
    ("GET", "/metrics"),
    ("GET", "/v2/hauberk/status"),
    ("GET", "/v2/hauberk/routing"),
    ("PUT", "/v2/hauberk/routing"),
    ("POST", "/v2/repository/models/m/load"),
]
NOWHERE = [
    ("GET", "/"),
    ("POST", "/v2/models/m/explain"),
    ("POST", "/v2/repository/models/m"),
    ("GET", "/v2//"),
]


def matrix() -> list[tuple[str, str, str | None, int]]:
    rows: list[tuple[str, str, str | None, int]] = []
    for token, known, operator in ((None, 0, 0), ("wrong", 0, 0), (CLIENT, 1, 0), (OPERATOR, 1, 1)):
        rows += [(*call, token, 200) for call in OPEN]
        rows += [(*call, token, 200 if known else 401) for call in FOR_CLIENTS]
        rows += [
            (*call, token, 200 if operator else 403 if known else 401) for call in FOR_OPERATORS
        ]
    rows += [(*call, None, 401) for call in NOWHERE]  # a stranger learns no path
    rows += [(*call, token, 404) for call in NOWHERE for token in (CLIENT, OPERATOR)]
    return rows


@pytest.mark.parametrize(("method", "path", "token", "code"), matrix())
def test_who_may_do_what(
    bench: Bench, rows: NDArray[np.float32], method: str, path: str, token: str | None, code: int
) -> None:
    body: dict[str, Any] = {}
    if method == "POST":
        body = {"json": {**json_body(rows[:1]), "instances": rows[:1].tolist()}}
    elif method == "PUT":
        lineup = bench.gateway.pool.lineup
        assert lineup
        body = {"json": {"primary": lineup.routing.primary}}
    response = ask(bench.gateway, method, path, token=token, **body)
    assert response.status_code == code, response.text
    if code >= 400:
        assert list(response.json()) == ["error"]
    if code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_client_cannot_change_the_routing(bench: Bench) -> None:
    before = bench.gateway.pool.lineup
    response = ask(bench.gateway, "PUT", "/v2/hauberk/routing", json={"primary": bench.canary})
    assert response.status_code == 403
    assert bench.gateway.pool.lineup is before


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic " + CLIENT.encode(),
        b"Bearer " + CLIENT.encode() + b"x",
        b"Bearer " + CLIENT.encode()[:-1],
        b"Bearer  x " + CLIENT.encode(),
        b"Bearer " + b"x" * 10_000,
        b"Bearer " + digest_bytes(CLIENT.encode()).encode(),
        "Bearer tökén".encode(),
    ],
)
def test_no_other_header_is_a_token(header: bytes | None) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Proofs(Clients(clients())).identify(header)
    assert CLIENT not in str(caught.value)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_the_token_names_its_client(scheme: bytes) -> None:
    principal = Proofs(Clients(clients())).identify(scheme + OPERATOR.encode())
    assert (principal.name, principal.role) == ("olga", "operator")


def test_without_clients_nobody_is_known() -> None:
    with pytest.raises(Unauthenticated):
        Proofs(Clients(())).identify(b"Bearer " + CLIENT.encode())


@pytest.mark.parametrize("field", ["name", "token_sha256"])
def test_two_clients_alike_are_a_mistake(field: str) -> None:
    one: dict[str, Any] = {"name": "a", "token_sha256": digest_bytes(b"a")}
    two: dict[str, Any] = {"name": "b", "token_sha256": digest_bytes(b"b"), field: one[field]}
    with pytest.raises(ConfigError, match=field):
        Clients([ClientSpec(**one), ClientSpec(**two)])


def test_a_token_given_twice_is_refused() -> None:
    pair = (b"Authorization", f"Bearer {CLIENT}".encode())
    with pytest.raises(BadRequest):
        Headers([pair, pair]).one(b"authorization")
