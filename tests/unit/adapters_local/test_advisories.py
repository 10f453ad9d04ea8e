"""The index of advisories on disk, pip-audit's answers, and installed packages."""

import base64
import hashlib
import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hauberk.adapters.local.advisories import Advisories
from hauberk.adapters.local.site_packages import vet_environment
from hauberk.adapters.pip_audit import ask
from hauberk.core.errors import DataError, EnvironmentFault, UserError
from hauberk.vet.advisory import DAY, Known
from hauberk.vet.finding import Outcome

NOW = 1_800_000_000.0
RECORD: dict[str, Any] = {
    "id": "PYSEC-9",
    "modified": "2026-11-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Requests"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.31"}]}],
        }
    ],
}
PAGE: dict[str, Any] = {
    "meta": {"api-version": "1.1"},
    "name": "requests",
    "versions": ["2.30.0", "2.32.0", "2.33.0"],
    "files": [
        {"filename": "requests-2.32.0.tar.gz", "hashes": {"sha256": "A" * 64}, "yanked": "broken"},
        {"filename": "requests-2.33.0-py3-none-any.whl", "hashes": {"sha256": "b" * 64}},
        {"filename": "requests-2.33.0.exe", "hashes": {}},
    ],
}


def test_what_was_imported_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(PAGE))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-9.json", json.dumps(RECORD))
        archive.writestr("README", "not JSON")
    index = Advisories(tmp_path / "advisories.db")
    assert index.load([tmp_path / "all.zip", tmp_path / "one.json"], at=NOW) == (1, 1)
    assert [one.ident for one in index.advisories("requests")] == ["PYSEC-9"]
    assert index.advisories("numpy") == []
    found = index.releases("requests")
    assert found is not None
    assert found.keys() == {"2.30.0", "2.32.0", "2.33.0"}
    assert (found["2.32.0"].yanked, found["2.32.0"].reason) == (True, "broken")
    assert not found["2.33.0"].yanked
    assert found["2.32.0"].hashes == {"a" * 64}
    assert index.releases("numpy") is None
    assert index.as_of == 1793491200.0
    assert Advisories(tmp_path / "advisories.db").counts() == (1, 1)


def test_no_date_of_the_future_is_believed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**RECORD, "modified": "2099-01-01T00:00:00Z"}))
    index = Advisories(tmp_path / "i.db")
    index.load([tmp_path / "a.json"], at=NOW)
    assert index.as_of == NOW


def test_what_is_withdrawn_goes(tmp_path: Path) -> None:
    index = Advisories(tmp_path / "i.db")
    (tmp_path / "a.json").write_text(json.dumps(RECORD))
    index.load([tmp_path / "a.json"], at=NOW)
    gone = {**RECORD, "withdrawn": "2026-11-02T00:00:00Z"}
    (tmp_path / "b.json").write_text(json.dumps([gone, {**RECORD, "id": "PYSEC-10"}]))
    index.load([tmp_path / "b.json"], at=NOW)
    assert [one.ident for one in index.advisories("requests")] == ["PYSEC-10"]


@pytest.mark.parametrize("text", ["", "[1]", '{"id": 3}', '{"id": "x", "affected": 3}', "nonsense"])
def test_a_bad_file_changes_nothing(tmp_path: Path, text: str) -> None:
    index = Advisories(tmp_path / "i.db")
    (tmp_path / "a.json").write_text(json.dumps(RECORD))
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(DataError):
        index.load([tmp_path / "a.json", tmp_path / "b.json"], at=NOW)
    assert index.counts() == (0, 0)
    with pytest.raises(UserError):
        index.load([tmp_path / "none.json"], at=NOW)


def fake(folder: Path, says: str) -> list[str]:
    script = folder / "audit.py"
    script.write_text(f"import sys\nassert '--no-deps' in sys.argv\nprint({says!r})\n")
    return [sys.executable, str(script)]


def test_answers_of_pip_audit(tmp_path: Path) -> None:
    says = {
        "dependencies": [
            {
                "name": "Flask",
                "version": "0.5",
                "vulns": [{"id": "PYSEC-1", "fix_versions": ["1"]}],
            },
            {"name": "numpy", "version": "2.0", "vulns": []},
            {"name": "ours", "skip_reason": "not found"},
        ]
    }
    found = ask([("flask", "0.5")], at=NOW, command=fake(tmp_path, json.dumps(says)))
    (hole,) = found.advisories("flask")
    assert hole.affects("0.5")
    assert hole.fixes == ("1",)
    assert not hole.affects("0.6")
    assert found.releases("numpy") is not None
    assert found.releases("ours") is None
    assert found.as_of == NOW


@pytest.mark.parametrize("says", ["", "No known vulnerabilities found", "[]"])
def test_an_answer_that_is_none_is_a_fault(tmp_path: Path, says: str) -> None:
    with pytest.raises(EnvironmentFault):
        ask([("flask", "0.5")], at=NOW, command=fake(tmp_path, says))
    with pytest.raises(EnvironmentFault):
        ask([], at=NOW, command=[str(tmp_path / "none")])


def environment(folder: Path) -> Path:
    site = folder / "lib" / "python3.11" / "site-packages"
    info = site / "requests-2.33.0.dist-info"
    info.mkdir(parents=True)
    (site / "requests.py").write_text("x = 1\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: requests\nVersion: 2.33.0\n")
    (info / "RECORD").write_text(f"requests.py,sha256={digest},6\nrequests/RECORD,,\n")
    return site


def test_an_environment_is_held_against_its_records(tmp_path: Path) -> None:
    site = environment(tmp_path)
    index = Advisories(tmp_path / "i.db")
    (tmp_path / "a.json").write_text(json.dumps([PAGE, RECORD]))
    index.load([tmp_path / "a.json"], at=NOW)
    known = Known(index=index, at=index.as_of + DAY)
    (found,) = vet_environment(tmp_path, known)
    assert found.outcome is Outcome.CLEAN
    assert found.kind == "package"
    (site / "requests.py").write_text("import os\n")
    (site / "evil.pth").write_text("import requests\n")
    (site / "plain.pth").write_text("../more\n")
    told = {Path(one.path).name: one for one in vet_environment(site, known)}
    assert [one.rule for one in told["requests-2.33.0.dist-info"].findings] == ["HB-V207"]
    assert told["evil.pth"].outcome is Outcome.REVIEW
    assert told["plain.pth"].outcome is Outcome.CLEAN
    (site / "requests.py").unlink()
    (found, *_) = vet_environment(site, known)
    assert "missing" in found.findings[0].message


def test_a_folder_without_packages_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        list(vet_environment(tmp_path, Known()))


def test_a_lookup_is_quick(tmp_path: Path) -> None:
    """Not a timing, but a plan: the lookup goes by the primary key."""
    index = Advisories(tmp_path / "i.db")
    (tmp_path / "a.json").write_text(json.dumps(RECORD))
    index.load([tmp_path / "a.json"], at=time.time())
    query = "EXPLAIN QUERY PLAN SELECT body FROM advisory WHERE package = 'x'"
    assert "SEARCH" in str(index._database.rows(query))
