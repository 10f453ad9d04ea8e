"""Waivers, baselines, VEX and the record: what people decide about findings, and for how long."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hauberk.adapters.local.home import Home
from hauberk.core.digest import digest_file
from hauberk.core.errors import ConfigError
from hauberk.faces.cli.main import run
from hauberk.govern.baseline import read_baseline
from hauberk.govern.vex import Hole, vex
from hauberk.testing.vet_pieces import call, pickled

TODAY = datetime.now(UTC).date()
RECORD = {
    "id": "PYSEC-9",
    "modified": datetime.now(UTC).isoformat(),
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "requests"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.31"}]}],
        }
    ],
}
PAGE = {"meta": {}, "name": "requests", "versions": ["2.30"], "files": []}
LIST = "requests==2.30 --hash=sha256:" + "a" * 64 + "\n"
SCHEMAS = Path(__file__).parents[4] / "shared" / "data" / "cyclonedx-dev"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps([RECORD, PAGE]))
    assert run(["advisories", "import", "index.json"]) == 0
    (tmp_path / "requirements.txt").write_text(LIST)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run(["vet", "requirements.txt", "--format", "json", *more])
    return code, json.loads(capsys.readouterr().out)["files"][0]


def waiver(folder: Path, *, days: int = 30, rule: str = "HB-V201", more: str = "") -> str:
    (folder / "waivers.toml").write_text(
        f'[[waiver]]\nrule = "{rule}"\nsubject = "{digest_file(folder / "requirements.txt")}"\n'
        f'owner = "ann"\nreason = "not called"\ncreated = {TODAY - timedelta(days=31)}\n'
        f"expires = {TODAY + timedelta(days=days)}\n{more}"
    )
    return str(folder / "waivers.toml")


def test_a_waiver_lets_one_rule_go_for_a_time(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = told(capsys)
    assert (code, found["verdict"]) == (1, "review")
    code, found = told(capsys, "--waivers", waiver(place))
    assert (code, found["verdict"]) == (0, "clean")
    assert "ann" in found["findings"][0]["excused"]
    assert told(capsys, "--waivers", waiver(place, days=0))[0] == 1
    assert told(capsys, "--waivers", waiver(place, rule="HB-V203"))[0] == 1
    path = waiver(place)
    (place / "requirements.txt").write_text(LIST + "\n")
    assert told(capsys, "--waivers", path)[0] == 1


def test_what_is_malicious_is_never_let_go(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "requirements.txt").write_bytes(pickled(call("os", "system")))
    code, found = told(capsys, "--waivers", waiver(place, rule="HB-V001"))
    assert (code, found["verdict"]) == (1, "malicious")


def test_a_baseline_hides_what_was_known_and_nothing_new(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vet", "requirements.txt", "--write-baseline", "base.json"]) == 2  # no owner
    write = ["--write-baseline", "base.json", "--owner", "ann", "--days", "30"]
    assert told(capsys, *write)[0] == 1
    code, found = told(capsys, "--baseline", "base.json")
    assert (code, found["verdict"]) == (0, "clean")
    (place / "requirements.txt").write_text(LIST + "numpy\n")
    assert told(capsys, "--baseline", "base.json")[0] == 1
    kept = json.loads((place / "base.json").read_text())
    kept["created"], kept["expires"] = str(TODAY - timedelta(days=9)), str(TODAY)
    (place / "base.json").write_text(json.dumps(kept))
    (place / "requirements.txt").write_text(LIST)
    assert told(capsys, "--baseline", "base.json")[0] == 1
    kept["expires"] = str(TODAY + timedelta(days=300))
    with pytest.raises(ConfigError):
        read_baseline(json.dumps(kept).encode(), where="x")


def test_holes_as_vex(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "--vex", "vex.json")
    document = json.loads((place / "vex.json").read_text())
    (hole,) = document["vulnerabilities"]
    assert hole["id"] == "PYSEC-9"
    assert hole["analysis"] == {"state": "in_triage"}
    assert document["components"][0]["purl"] == "pkg:pypi/requests@2.30"
    told(capsys, "--vex", "vex.json", "--waivers", waiver(place))
    (hole,) = json.loads((place / "vex.json").read_text())["vulnerabilities"]
    assert hole["analysis"]["state"] == "exploitable"
    path = waiver(place, more='justification = "code_not_reachable"\n')
    told(capsys, "--vex", "vex.json", "--waivers", path)
    document = json.loads((place / "vex.json").read_text())
    assert document["vulnerabilities"][0]["analysis"]["state"] == "not_affected"
    if not SCHEMAS.exists():
        pytest.skip("../shared/data/cyclonedx-dev is not there: not held against the schema")
    valid(document)


def valid(document: dict[str, Any]) -> None:
    """Hold a document against the official schema of CycloneDX 1.6."""
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")

    schemas = [json.loads(path.read_text()) for path in (SCHEMAS / "schema").glob("*.json")]
    resources = [
        (one["$id"], referencing.Resource.from_contents(one)) for one in schemas if "$id" in one
    ]
    registry = referencing.Registry().with_resources(resources)
    (schema,) = [one for one in schemas if one.get("$id", "").endswith("bom-1.6.schema.json")]
    jsonschema.Draft7Validator(schema, registry=registry).validate(document)


def test_vex_is_the_same_whatever_the_order() -> None:
    holes = [
        Hole(advisory=a, name=n, version="1", detail="d", where=w)
        for a in ("A", "B") for n in ("x", "y") for w in ("p", "q")
    ]  # fmt: skip
    at = time.time()
    assert vex(holes, at=at, version="0") == vex(holes[::-1], at=at, version="0")
    assert len(vex(holes, at=at, version="0")["vulnerabilities"]) == 4


def test_what_was_found_is_recorded(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home.create(place / ".hauberk")
    told(capsys, "--record")
    entries = {one.body["rule"]: one for one in home.ledger.entries(kind="evidence")}
    assert entries["HB-V201"].body["verdict"] == "fail"
    assert entries["HB-V205"].body["verdict"] == "pass"
    assert entries["HB-V205"].subject == digest_file(place / "requirements.txt")
    home.ledger.verify()


def test_the_index_says_how_old_it_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["advisories", "status", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["advisories"] == "1"
    assert run(["advisories", "status", "--state", "elsewhere"]) == 1
    assert run(["vet", "requirements.txt", "--advisories", "none.db"]) == 2
    assert run(["vet"]) == 2
