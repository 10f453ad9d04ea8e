from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hauberk.core.digest import canonical_json, digest_bytes
from hauberk.core.errors import DataError, HauberkError, Untrusted, UserError
from hauberk.core.evidence import Verdict
from hauberk.govern.attest import (
    RELEASE,
    STATEMENT,
    Release,
    check_release,
    release,
    release_statement,
)

MODEL = digest_bytes(b"model")
PASSED = Release(
    role="primary",
    at=7.0,
    verdict=Verdict.PASS,
    policy=digest_bytes(b"policy"),
    decision=digest_bytes(b"decision"),
    evidence=(digest_bytes(b"evidence"),),
    incident="incident-1",
)


def test_the_statement_is_an_in_toto_statement_about_the_file() -> None:
    statement = release_statement(MODEL, PASSED, name="ped.onnx")
    assert statement["_type"] == STATEMENT == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == RELEASE
    assert statement["subject"] == [
        {"name": "ped.onnx", "digest": {"sha256": MODEL.removeprefix("sha256:")}}
    ]
    assert statement["predicate"]["verdict"] == "pass"
    plain = msgspec.json.decode(msgspec.json.encode(statement))
    assert canonical_json(plain) == canonical_json(statement)
    assert check_release(statement, MODEL) == PASSED


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"_type": None},
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"predicateType": RELEASE + "/"},
        {"subject": None},
        {"subject": []},
        {"subject": ["x"]},
        {"subject": [{"name": "x"}]},
        {"subject": [{"digest": {"sha256": "0" * 64}}]},
        {"subject": [{"digest": {"sha256": MODEL}}]},
        {"subject": [{"digest": {"sha256": MODEL[7:], "md5": "0"}}]},
        {"subject": [{"digest": {"sha256": MODEL[7:]}}] * 2},
        {"predicate": None},
        {"predicate": {}},
        {"predicate": {"role": "primary"}},
        {"predicate": {"role": "initial"}},
        {"predicate": {"role": "twin", "unknown": 1}},
        {"predicate": {"role": "twin", "at": "now"}},
    ],
)
def test_any_other_statement_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Untrusted, match="HB-S002"):
        check_release({**release_statement(MODEL, PASSED), **change}, MODEL)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.UNKNOWN])
def test_only_a_pass_releases_a_primary(verdict: Verdict) -> None:
    failed = msgspec.structs.replace(PASSED, verdict=verdict)
    with pytest.raises(DataError, match="verdict"):
        release_statement(MODEL, failed)
    forged = release_statement(MODEL, PASSED)
    forged["predicate"]["verdict"] = str(verdict)
    with pytest.raises(Untrusted, match="verdict"):
        check_release(forged, MODEL)


@pytest.mark.parametrize(
    ("predicate", "missing"),
    [
        ({"role": "initial"}, "by"),
        ({"role": "primary", "verdict": "pass", "policy": "p"}, "decision"),
        ({"role": "primary", "verdict": "pass", "decision": "d"}, "policy"),
        ({"role": "primary"}, "verdict"),
    ],
)
def test_what_is_missing_is_named(predicate: dict[str, Any], missing: str) -> None:
    with pytest.raises(DataError, match=missing):
        release(predicate)


def test_a_malformed_digest_is_not_signed() -> None:
    with pytest.raises(UserError, match="not a digest"):
        release_statement("sha256:x", PASSED)


@pytest.mark.parametrize("statement", [{}, {"_type": STATEMENT}, {"subject": 1}])
def test_nothing_breaks_it(statement: dict[str, Any]) -> None:
    with pytest.raises(HauberkError):
        check_release(statement, MODEL)
