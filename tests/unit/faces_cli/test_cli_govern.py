"""`hauberk gate`, `threats`, `atlas` and `report --framework` on a small state directory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from hauberk.adapters.local.home import Home
from hauberk.adapters.local.signatories import acts
from hauberk.adapters.local.signer import Ed25519Signer
from hauberk.core.digest import digest_bytes
from hauberk.core.evidence import Evidence, Verdict
from hauberk.faces.cli.main import run
from hauberk.govern.attest import STATEMENT
from hauberk.govern.decision import evidence_body
from hauberk.govern.provenance import TRAINING
from hauberk.govern.roles_duty import Act

ONNX = b"not really onnx, but it has a digest"
MODEL = digest_bytes(ONNX)
POLICY = """
eps = 0.15
max_age_days = 7
[[rule]]
code = "HB-E002"
limit = 0.9
[[rule]]
code = "HB-S001"
[[rule]]
code = "HB-S003"
"""
DUTIES = '[[rule]]\ncode = "HB-G001"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    made = Home.create(tmp_path / ".hauberk")
    made.store.put(ONNX)
    body = {"name": "signs", "role": "primary", "dataset": "sha256:" + "9" * 64}
    made.ledger.append("model", MODEL, body, at=1.0)
    measure(made, 0.95)
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "duties.toml").write_text(POLICY + DUTIES)
    return made


def measure(home: Home, value: float, *, age: float = 0.0) -> None:
    verdict = Verdict.PASS if value >= 0.9 else Verdict.FAIL
    found = Evidence(rule="HB-E002", subject=MODEL, verdict=verdict, message="", value=value)
    home.ledger.append("evidence", MODEL, evidence_body(found), at=time.time() - age)


def trained_by(home: Home, folder: Path) -> str:
    """A training statement signed by a key of its own, which the service trusts."""
    signer = Ed25519Signer.create(folder)
    (home.folder / "keys" / "trusted" / "trainer.pub").write_bytes(signer.public_pem())
    sign_training(home, signer)
    return signer.key_id


def sign_training(home: Home, signer: Any) -> None:
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": "m", "digest": {"sha256": MODEL.removeprefix("sha256:")}}],
        "predicateType": TRAINING,
        "predicate": {"buildDefinition": {"buildType": "x/training/v1"}},
    }
    envelope = signer.sign(statement)
    body = {"envelope": {n: getattr(envelope, n) for n in envelope.__struct_fields__}}
    home.ledger.append("signature", MODEL, body, at=2.0)


def people(tmp_path: Path, trainer: str, approver: str) -> str:
    text = f'[[person]]\nname = "Ann"\nroles = ["data-scientist"]\nkeys = ["{trainer}"]\n'
    text += f'[[person]]\nname = "Bea"\nroles = ["evaluator"]\nkeys = ["{approver}"]\n'
    (tmp_path / "governance.toml").write_text(text)
    return "governance.toml"


def gate(*extra: str) -> int:
    return run(["gate", "signs", "--policy", "policy.toml", "-q", *extra])


def test_the_gate_allows_signs_and_enters(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate("--format", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdict"] == "pass"
    (entry,) = home.ledger.entries(kind="decision", subject=MODEL)
    assert entry.body["policy"] == shown["policy"]
    assert acts(home.ledger, home.signer, MODEL) == (Act("approve", home.signer.key_id),)
    rules = {e.body["rule"] for e in home.ledger.entries(kind="evidence", subject=MODEL)}
    assert {"HB-S001", "HB-S002", "HB-S003"} <= rules


def test_no_sign_enters_nothing(home: Home) -> None:
    before = home.ledger.verify()
    assert gate("--no-sign") == 0
    assert home.ledger.verify() == before


@pytest.mark.parametrize("break_it", ["fails", "old", "altered", "revoked", "missing"])
def test_the_gate_denies(home: Home, tmp_path: Path, break_it: str) -> None:
    if break_it == "fails":
        measure(home, 0.5)
    elif break_it == "old":
        (tmp_path / "policy.toml").write_text(POLICY.replace("= 7", "= 1e-9"))
    elif break_it == "altered":
        home.store.path(MODEL).chmod(0o600)
        home.store.path(MODEL).write_bytes(b"other")
    elif break_it == "revoked":
        home.trust.revoke(MODEL, "bad", 3.0)
    else:
        (tmp_path / "policy.toml").write_text(POLICY + '[[rule]]\ncode = "HB-E005"\n')
    assert gate() == 1
    assert acts(home.ledger, home.signer, MODEL) == (), "who denies has not approved"


def test_a_waiver_lets_it_pass_and_is_told(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(home, 0.5)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    later = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 3 * 86400))
    (tmp_path / "w.toml").write_text(
        f'[[waiver]]\nrule = "HB-E002"\nsubject = "{MODEL}"\nowner = "Bea"\nreason = "r"\n'
        f"created = {day}\nexpires = {later}\n"
    )
    assert gate("--waivers", "w.toml") == 0
    assert "waived" in capsys.readouterr().out


def test_duties_apart(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wants = ["gate", MODEL, "--policy", "duties.toml", "-q"]
    assert run(wants) == 1, "without people nothing says that the duties are apart"
    trainer = trained_by(home, tmp_path / "ann")
    who = people(tmp_path, trainer, home.signer.key_id)
    assert run([*wants, "--governance", who]) == 0
    sign_training(home, home.signer)  # now the approver's key trained too
    capsys.readouterr()
    assert run([*wants, "--governance", who, "--format", "json"]) == 1
    rows = {row["rule"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert "signed for train and for approve" in rows["HB-G001"]["message"]


def test_a_claimed_key_id_does_not_hide_the_key(home: Home) -> None:
    sign_training(home, _Liar(home.signer))
    assert acts(home.ledger, home.signer, MODEL) == (Act("train", home.signer.key_id),)


class _Liar:
    """Signs with one key and names another."""

    def __init__(self, signer: Ed25519Signer) -> None:
        self._signer = signer

    def sign(self, statement: dict[str, Any]) -> Any:
        envelope = self._signer.sign(statement)
        envelope.signatures[0]["keyid"] = "sha256:" + "0" * 64
        return envelope


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["gate", "sign"], "did you mean 'signs'?"),
        (["gate", "signs", "--policy", "nope.toml"], "no such file"),
        (["report", "--framework", "eu-ai-ac"], "did you mean 'eu-ai-act'?"),
        (["report", "--card", "modle", "--of", "signs"], "did you mean 'model'?"),
        (["report", "--framework", "iso-42001", "--as-of", "x"], "not a date"),
        (["report", "--framework", "iso-42001", "--navigator"], "needs --framework atlas"),
        (["atlas", "show", "AML.T0043.01"], "did you mean"),
        (["threats", "check", "nope.toml"], "threats init"),
    ],
)
def test_wrong_input(
    home: Home, capsys: pytest.CaptureFixture[str], args: list[str], told: str
) -> None:
    assert run(args) == 2
    caught = capsys.readouterr().err
    assert told in caught
    assert "Traceback" not in caught


def test_threats_init_and_check(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["threats", "init"]) == 0
    assert run(["threats", "init"]) == 2, "a file that is there stays"
    capsys.readouterr()
    assert run(["threats", "check", "--format", "json"]) == 1
    register = json.loads(capsys.readouterr().out)
    assert all(register["stride"].values())
    assert run(["threats", "check", "--format", "sarif", "-q"]) == 1
    assert run(["threats", "report", "-o", "r.html"]) == 0
    assert run(["threats", "report", "--diagram", "-o", "d.svg"]) == 0
    assert Path("d.svg").read_text().startswith("<svg")


def test_only_what_is_served_verifies(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    run(["threats", "init"])
    gate()  # enters HB-S001 and others about the model
    capsys.readouterr()

    def why() -> str:
        run(["threats", "check", "--format", "json"])
        register = json.loads(capsys.readouterr().out)
        return next(str(t["why"]) for t in register["threats"] if t["id"] == "T-WEIGHTS@registry")

    assert "HB-S001 never ran" in why()
    (home.folder / "routing.json").write_text(json.dumps({"primary": MODEL}))
    assert "HB-S001 passes" in why()


@pytest.mark.parametrize("extra", [[], ["--oscal"], ["--format", "html"], ["--format", "json"]])
def test_a_framework_report_is_the_same_again(
    home: Home, capsys: pytest.CaptureFixture[str], extra: list[str]
) -> None:
    wants = ["report", "--framework", "nist-ai-rmf", "--of", "signs", "--as-of", "2199-01-01"]
    texts = []
    for _ in range(2):
        assert run([*wants, *extra]) == 1
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0]


def test_effects_and_navigator(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--effects", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 35
    assert run(["report", "--framework", "atlas", "--navigator"]) == 1
    assert json.loads(capsys.readouterr().out)["domain"] == "atlas-atlas"


def test_a_catalogue_is_imported_and_used(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = {
        "format-version": "6.0.0",
        "collection": {"version": "2026.08"},
        "tactics": {"AML.TA0001": {"name": "Staging"}},
        "techniques": {"AML.T0115.000": {"name": "Datasets"}},
    }
    (tmp_path / "a.json").write_text(json.dumps(tree))
    assert run(["atlas", "import", "a.json"]) == 0
    capsys.readouterr()
    assert run(["atlas", "show", "AML.T0019"]) == 0
    assert "ATLAS 2026.08" in capsys.readouterr().out
    assert run(["atlas", "list", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["mitigations"] == "ATLAS lists none"
    (tmp_path / "b.json").write_text("{" * 100_000)
    assert run(["atlas", "import", "b.json"]) == 2
