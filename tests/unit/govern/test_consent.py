from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.core.errors import DataError, NoConsent
from hauberk.govern.consent import CONSENT, check_consent, make_consent

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "_type": CONSENT,
    "model": "digits",
    "host": "gateway.acme",
    "not_after": 100.0,
    "scope": "evasion",
}


@pytest.fixture
def owner(tmp_path: Path) -> Ed25519Signer:
    return Ed25519Signer.create(tmp_path / "keys")


def token(signer: Ed25519Signer, statement: dict[str, Any]) -> str:
    return b64encode(msgspec.json.encode(signer.sign(statement))).decode()


def test_the_owners_consent_holds_until_it_runs_out(owner: Ed25519Signer) -> None:
    text = make_consent(owner, model="digits", host="gateway.acme", not_after=100.0)
    consent = check_consent(text, owner.verify, model="digits", at=99.9, host="gateway.acme")
    assert (consent.model, consent.host, consent.scope) == ("digits", "gateway.acme", "evasion")
    assert check_consent(f" {text}\n", owner.verify, model="digits", at=0.0) == consent
    with pytest.raises(NoConsent, match="run out"):
        check_consent(text, owner.verify, model="digits", at=100.0)
    with pytest.raises(NoConsent, match="run out"):
        check_consent(text, owner.verify, model="digits", at=float("nan"))


def test_consent_is_for_one_endpoint(owner: Ed25519Signer) -> None:
    text = make_consent(owner, model="digits", host="gateway.acme", not_after=100.0)
    with pytest.raises(NoConsent, match="not 'other'"):
        check_consent(text, owner.verify, model="other", at=0.0)
    with pytest.raises(NoConsent, match=r"not 'example\.com'"):
        check_consent(text, owner.verify, model="digits", at=0.0, host="example.com")


def test_someone_elses_signature_is_no_consent(owner: Ed25519Signer, tmp_path: Path) -> None:
    stranger = Ed25519Signer.create(tmp_path / "stranger")
    text = make_consent(stranger, model="digits", host="gateway.acme", not_after=100.0)
    with pytest.raises(NoConsent, match="no trusted key"):
        check_consent(text, owner.verify, model="digits", at=0.0)


@pytest.mark.parametrize(
    "text", ["", "  ", "x", "é", "e30=", "bnVsbA==", "W10=", "A" * 20000, "=", "\ud800"]
)
def test_junk_is_no_consent(owner: Ed25519Signer, text: str) -> None:
    with pytest.raises(NoConsent):
        check_consent(text, owner.verify, model="digits", at=0.0)


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v1"},
        {"_type": None},
        {"scope": "poisoning"},
        {"not_after": "100"},
        {"not_after": None},
        {"extra": 1},
        {"model": 1},
    ],
)
def test_a_signed_statement_of_another_kind_is_no_consent(
    owner: Ed25519Signer, change: dict[str, Any]
) -> None:
    assert check_consent(token(owner, GOOD), owner.verify, model="digits", at=0.0)
    with pytest.raises(NoConsent):
        check_consent(token(owner, {**GOOD, **change}), owner.verify, model="digits", at=0.0)


@pytest.mark.parametrize(
    ("model", "host", "not_after"),
    [
        ("", "h", 1.0),
        ("m", "", 1.0),
        ("m" * 300, "h", 1.0),
        ("m", "h", float("nan")),
        ("m", "h", float("inf")),
        ("m", "h", -1.0),
    ],
)
def test_odd_consents_are_not_made(
    owner: Ed25519Signer, model: str, host: str, not_after: float
) -> None:
    with pytest.raises(DataError):
        make_consent(owner, model=model, host=host, not_after=not_after)
