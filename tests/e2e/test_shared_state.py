"""The whole loop with its ledger and journal in PostgreSQL and its blobs in S3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from hauberk.adapters.local.home import Home
from hauberk.core.spec import StateSpec
from hauberk.faces.cli.main import run
from hauberk.testing.service import SMALL, Service, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.testing.servers import Postgres


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_an_incident_on_shared_state(
    ledger_url: str,
    bucket_url: str,
    postgres: Postgres,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "state"
    spec = replace(SMALL, state=StateSpec(ledger=ledger_url, blobs=bucket_url))
    prepare(folder, spec)
    with Service(home=Home(folder), spec=spec) as service:
        service.start_gateway()
        service.start_controller()
        before = service.home.deployer.routing()
        assert before is not None
        service.alarm("the first")
        service.reach("hardening")
        postgres.restart("immediate")
        end = service.keep_sending(rate=40.0)
        turn = service.wait_for(service.is_over, seconds=280)
        end()
        service.settle()
        assert turn.state.phase == "serving"
        assert service.unlawful(service.shots()) == []
    assert not (folder / "ledger.db").exists()
    now, places = turn.state.served.primary, ["--state", str(folder)]
    assert now != before.primary
    assert run(["verify", now, *places]) == 0
    capsys.readouterr()
    assert run(["ledger", "verify", *places]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] > 20
    assert run(["models", "list", *places]) == 0
    assert "may be served" in capsys.readouterr().out
