"""`hauberk attack` fires at no endpoint whose owner did not agree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.core.spec import write_spec
from hauberk.faces.cli.main import run
from hauberk.govern.consent import make_consent
from hauberk.testing.service import HOSTILE, Service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Make

    from hauberk.core.ports import Signer

pytestmark = pytest.mark.timeout(300)
LATER = 3600.0


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("none", "publishes no consent"),
        ("expired", "run out"),
        ("another host", "for host 'elsewhere.example'"),
        ("another model", "for 'another'"),
        ("a stranger's", "not to be trusted"),
        ("garbage", "malformed"),
    ],
)
def test_without_consent_nothing_is_sent(
    service: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
    said: str,
) -> None:
    one = service()
    agree(one, consent(one, case, tmp_path))
    one.start_gateway()
    monkeypatch.setenv("HAUBERK_TOKEN", one.tokens[HOSTILE])
    assert attack(one) == 1
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.startswith("error: ")
    assert told.err.count("\n") <= 2
    assert told.out == ""
    assert one.records() == []


def test_with_consent_it_is_attacked(
    service: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = service()
    one.start_gateway()
    monkeypatch.setenv("HAUBERK_TOKEN", one.tokens[HOSTILE])
    assert attack(one) == 0
    assert "fgsm" in capsys.readouterr().out
    one.wait_for_records(3)


def consent(one: Service, case: str, folder: Path) -> str:
    if case == "none":
        return ""
    if case == "garbage":
        return "bm90IGEgdG9rZW4="
    signer: Signer = one.home.signer
    if case == "a stranger's":
        Ed25519Signer.create(folder / "stranger")
        signer = Ed25519Signer(folder / "stranger")
    model = "another" if case == "another model" else one.spec.model.name
    host = "elsewhere.example" if case == "another host" else one.spec.serve.host
    until = time.time() + (-1.0 if case == "expired" else LATER)
    return make_consent(signer, model=model, host=host, not_after=until)


def agree(one: Service, text: str) -> None:
    one.spec = replace(one.spec, serve=replace(one.spec.serve, consent=text))
    one.config.write_text(write_spec(one.spec))


def attack(one: Service) -> int:
    return run(
        [
            *("attack", str(one.weights), "--endpoint", one.url, "--requests", "3", "--quiet"),
            *("--state", str(one.home.folder), "--config", str(one.config)),
        ]
    )
