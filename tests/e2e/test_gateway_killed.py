"""The gateway, killed and started again, serves what it served, and only what verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from hauberk.core.ports import Routing

if TYPE_CHECKING:
    from tests.e2e.conftest import Make

pytestmark = pytest.mark.timeout(300)


def test_killed_and_started_again_it_keeps_the_routing(service: Make) -> None:
    one = service()
    one.start_gateway()
    first = one.home.deployer.routing()
    assert first is not None
    contained = replace(first, mode="contained", incident="an-incident")
    assert one.put(contained).status_code == 200
    seen = one.send(one.rows(20), name="before")
    one.wait_for_records(20)
    gateway = one.gateway
    assert gateway is not None
    gateway.kill()
    assert one.send(one.rows(1), name="down")[-1].error
    one.start_gateway()
    assert one.home.deployer.routing() == contained
    seen += one.send(one.rows(20), name="after")
    assert {(shot.digest, shot.route) for shot in seen} == {(first.twin, "twin")}
    one.wait_for_records(40)
    numbers = [record.seq for record in one.records()]
    assert numbers == list(range(1, 41)), "a record was lost or numbered twice"


@pytest.mark.parametrize("fault", ["unsigned", "revoked", "malformed", "absent"])
def test_a_routing_that_does_not_verify_serves_nothing(service: Make, fault: str) -> None:
    one = service()
    file = one.home.folder / "routing.json"
    routing = msgspec.json.decode(file.read_bytes(), type=Routing)
    if fault == "unsigned":
        other = one.home.store.put(b"nobody signed this")
        file.write_bytes(msgspec.json.encode(replace(routing, primary=other)))
    elif fault == "revoked":
        one.home.trust.revoke(routing.primary, "a test", 0.0)
    elif fault == "malformed":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        file.unlink()
    one.wake_gateway()
    assert not one.is_ready()
    assert one.ask("GET", "/v2/health/live").status_code == 200
    shot = one.send(one.rows(1), name=fault)[0]
    assert (shot.digest, shot.label) == ("", -1)
    assert "503" in shot.error
    why = one.ask("GET", "/v2/hauberk/status", token=one.home.operator_token).json()["obstacle"]
    assert {
        "unsigned": "HB-S002",
        "revoked": "HB-S003",
        "malformed": "not a routing",
        "absent": "no routing",
    }[fault] in why
    assert one.records() == []
