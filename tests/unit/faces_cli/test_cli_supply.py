"""verify, revoke, bom, sign and ledger, on a service whose entries are made by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hauberk.adapters.local.home import Home
from hauberk.adapters.local.packages import installed
from hauberk.core.digest import digest_bytes, digest_json
from hauberk.core.errors import Untrusted
from hauberk.faces.cli.main import run
from hauberk.govern import bom_check, provenance
from hauberk.govern.bom import bom
from hauberk.govern.bom_facts import Declared, Facts, Package, gather
from hauberk.govern.spdx import spdx

ROOT = Path(__file__).parents[3]
CYCLONEDX = ROOT.parent / "shared" / "data" / "cyclonedx-dev"
DATA = digest_bytes(b"data")
PACKAGES = [
    Package(name="hauberk", version="0.1.0", license="Apache-2.0", requires=("numpy",)),
    Package(name="numpy", version="2.0+cpu", license="BSD-3-Clause"),
]
TOLD = Declared(supplier="ACME", license="Apache-2.0", use="digits on forms")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.create(tmp_path / "state")
    parts = {name: {"samples": 10, "digest": digest_bytes(name.encode())} for name in ("a", "b")}
    body: dict[str, Any] = {
        "name": "digits",
        "source": "digits",
        "samples": 20,
        "classes": 10,
        "shape": [1, 8, 8],
        "bounds": [0.0, 1.0],
        "parts": parts,
    }
    home.ledger.append("dataset", DATA, body, at=1.0)
    for make in (provenance.dataset_statement, provenance.transform_statement):
        provenance.attest(home.ledger, home.signer, make(DATA, body), at=2.0)
    model = home.store.put(b"onnx")
    entry = {
        "name": "reader",
        "role": "primary",
        "weights": home.store.put(b"weights"),
        "architecture": {"name": "mlp", "params": {}},
        "dataset": DATA,
        "parent": None,
        "origin": {"method": "clean", "seed": 1},
    }
    home.ledger.append("model", model, entry, at=3.0)
    statement = provenance.training_statement(model, entry)
    provenance.attest(home.ledger, home.signer, statement, at=4.0)
    evidence = {"rule": "HB-E002", "value": 0.97}
    home.ledger.append("evidence", model, evidence, at=5.0)
    row = {"rule": "HB-E002", "measured": 0.97, "interval": [0.9, 0.99], "eps": None}
    decision = {
        "verdict": "pass",
        "policy": digest_bytes(b"policy"),
        "evidence": [digest_json(evidence)],
        "rows": [
            {**row, "binding": True, "verdict": "pass"},
            {**row, "rule": "HB-E001", "eps": 0.15, "binding": True, "verdict": "pass"},
        ],
    }
    home.ledger.append("decision", model, decision, at=6.0)
    statement = provenance.evaluation_statement(model, decision)
    provenance.attest(home.ledger, home.signer, statement, at=7.0)
    grounds = {
        "role": "primary",
        "verdict": "pass",
        "policy": decision["policy"],
        "decision": digest_json(decision),
    }
    home.trust.sign(model, grounds, 8.0)
    home.ledger.append("deployment", model, {"primary": model}, at=9.0)
    return home


@pytest.fixture
def model(home: Home) -> str:
    return home.ledger.entries(kind="model")[0].subject


def facts(home: Home, model: str) -> Facts:
    return gather(home.ledger, model, packages=PACKAGES, declared=TOLD)


def call(home: Home, *words: str | Path) -> int:
    return run([*map(str, words), "--state", str(home.folder)])


def test_verify_names_the_broken_link(
    home: Home, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(home, "verify", model, "--format", "json") == 0
    links = json.loads(capsys.readouterr().out)
    assert [one["link"] for one in links if one["state"] != "ok"] == []
    assert call(home, "verify", DATA) == 0
    capsys.readouterr()
    path = home.store.path(home.ledger.entries(kind="model")[0].body["weights"])
    path.chmod(0o600)
    path.write_bytes(b"weightz")
    assert call(home, "verify", model) == 1
    told = capsys.readouterr()
    assert "BROKEN" in told.out
    assert "broken at weights" in told.err
    assert call(home, "verify", digest_bytes(b"?")) == 1
    assert call(home, "verify", "nonsense") == 2


def test_revoke_lists_and_blocks(
    home: Home, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(home, "revoke", DATA, "--format", "json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["digest"], one["standing"]) for one in listed] == [
        (DATA, "would be revoked"),
        (model, "would be blocked"),
    ]
    assert home.trust.verified(model)
    assert call(home, "revoke", DATA, "--reason", "poisoned") == 0
    assert "blocked" in capsys.readouterr().out
    with pytest.raises(Untrusted, match="HB-S003"):
        home.trust.verified(model)
    assert call(home, "verify", model) == 1
    assert call(home, "revoke", "nonsense", "--reason", "x") == 2


def test_bom_is_written_signed_and_checked(
    home: Home, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.cdx.json"
    assert call(home, "bom", model, "-o", file, "--supplier", "ACME") == 0
    first = file.read_bytes()
    assert call(home, "bom", model, "-o", file, "--supplier", "ACME") == 0
    assert file.read_bytes() == first
    assert call(home, "bom", "--check", file) == 0
    assert "score: " in capsys.readouterr().err
    file.write_bytes(first.replace(b"ACME", b"EVIL"))
    assert call(home, "bom", "--check", file) == 1
    assert "not the one that was signed" in capsys.readouterr().err
    assert call(home, "bom") == 2
    assert call(home, "bom", "--check", tmp_path / "absent") == 2
    assert call(home, "bom", digest_bytes(b"?")) == 2
    assert call(home, "bom", model, "--format", "spdx", "-o", tmp_path / "spdx.json") == 0


def test_what_was_never_measured_is_missing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    other = home.store.put(b"another")
    home.ledger.append("model", other, {"name": "m", "dataset": DATA, "weights": "x"}, at=1.0)
    assert call(home, "bom", other) == 1
    told = capsys.readouterr().err
    assert "missing: components[0].modelCard.quantitativeAnalysis.performanceMetrics" in told
    assert "tip: indicators: performance" in told


def drop(tree: Any, path: str) -> None:
    *way, last = path.split(".")
    for key in way:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    del tree[last]


def test_dropping_any_required_field_fails(home: Home, model: str) -> None:
    whole = bom(facts(home, model), version="0.1.0")
    assert bom_check.missing(whole) == []
    kinds = {one["type"]: number for number, one in enumerate(whole["components"])}
    paths = list(bom_check.TOP)
    for kind, fields in bom_check.KINDS.items():
        if kind != "file":
            paths += [f"components.{kinds[kind]}.{one}" for one in fields]
    paths += ["components.0.components.0.hashes", "components.1.type"]
    assert len(paths) > 40
    for path in paths:
        bill = copy.deepcopy(whole)
        drop(bill, path)
        assert bom_check.missing(bill), path
    for odd in ({"bomFormat": "SPDX"}, {"components": "x"}, {"components": [1]}):
        assert bom_check.missing({**whole, **odd})
    assert bom_check.missing({})


def test_a_reference_that_leads_nowhere_is_missing(home: Home, model: str) -> None:
    bill = bom(facts(home, model), version="0.1.0")
    bill["components"][1]["bom-ref"] = "data:elsewhere"
    assert f"the component data:{DATA}" in bom_check.missing(bill)
    bill["dependencies"] = bill["dependencies"][1:]
    assert "dependencies of metadata.component" in bom_check.missing(bill)


def test_the_score_and_its_tips(home: Home, model: str) -> None:
    full = bom_check.score(bom(facts(home, model), version="1"))
    assert full["metadata"] == (6, 6)
    assert full["datasets"] == (5, 6)
    bare = bom(gather(home.ledger, model, packages=PACKAGES), version="1")
    assert bom_check.score(bare)["system"] == (2, 4)
    assert "models: licence: give --license" in bom_check.tips(bare)
    assert set(bom_check.score({})) == set(full)
    assert {had for had, _ in bom_check.score({}).values()} == {0}


def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="no jsonschema")
    referencing = pytest.importorskip("referencing")
    schemas = [json.loads(path.read_text()) for path in (CYCLONEDX / "schema").glob("*.json")]
    resources = [
        (one["$id"], referencing.Resource.from_contents(one)) for one in schemas if "$id" in one
    ]
    registry = referencing.Registry().with_resources(resources)
    [schema] = [one for one in schemas if one.get("$id", "").endswith("bom-1.6.schema.json")]
    return jsonschema.Draft7Validator(schema, registry=registry)


@pytest.mark.skipif(not CYCLONEDX.is_dir(), reason="no ../shared/data")
def test_the_official_schema(home: Home, model: str) -> None:
    check = validator()
    good = json.loads((CYCLONEDX / "valid-machine-learning-1.6.json").read_text())
    bad = json.loads((CYCLONEDX / "invalid-component-type-1.6.json").read_text())
    assert check.is_valid(good)
    assert not check.is_valid(bad)
    for declared in (TOLD, Declared()):
        told = gather(home.ledger, model, packages=PACKAGES, declared=declared)
        assert [e.message for e in check.iter_errors(bom(told, version="0.1.0"))] == []
    real = gather(home.ledger, model, packages=installed(), declared=TOLD)
    assert [e.message for e in check.iter_errors(bom(real, version="0.1.0"))] == []


# What the AI and Dataset profiles of SPDX 3.0.1 make mandatory.
MANDATORY = {
    "ai_AIPackage": (
        *("suppliedBy", "software_downloadLocation", "software_packageVersion"),
        *("software_primaryPurpose", "releaseTime"),
    ),
    "dataset_DatasetPackage": (
        *("dataset_datasetType", "originatedBy", "builtTime", "releaseTime"),
        *("software_downloadLocation", "software_primaryPurpose"),
    ),
    "Relationship": ("from", "to", "relationshipType"),
    "SpdxDocument": ("rootElement", "element", "profileConformance"),
}


def test_spdx_has_what_its_profiles_ask_for(home: Home, model: str) -> None:
    document = spdx(facts(home, model), version="0.1.0")
    assert document == spdx(facts(home, model), version="0.1.0")
    graph = document["@graph"]
    ids = [one["spdxId"] for one in graph if "spdxId" in one]
    assert len(ids) == len(set(ids))
    kinds = {one["type"] for one in graph}
    assert kinds >= {*MANDATORY, "CreationInfo", "Agent", "software_Package"}
    for one in graph:
        assert all(one.get(key) for key in MANDATORY.get(one["type"], ())), one
        if one["type"] != "CreationInfo":
            assert one["creationInfo"] == graph[0]["@id"]
        if one["type"] == "Relationship":
            assert {one["from"], *one["to"]} <= set(ids)
    [package] = [one["spdxId"] for one in graph if one["type"] == "ai_AIPackage"]
    related = [one["relationshipType"] for one in graph if one.get("from") == package]
    for kind in ("hasConcludedLicense", "hasDeclaredLicense", "trainedOn", "testedOn"):
        assert related.count(kind) == 1


def test_installed_packages() -> None:
    found = {one.name: one for one in installed()}
    assert {"hauberk", "numpy", "click"} <= found.keys()
    assert found["hauberk"].requires
    assert "pytest" not in found  # of an extra
    assert found["numpy"].purl == f"pkg:pypi/numpy@{found['numpy'].version}"
    assert installed("no-such-distribution") == []


def test_sign_and_verify_files(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"weights")
    (folder / "notes").write_text("not part of it")
    signature = folder / "model.sig"
    words = ["sign", str(folder), "--key", str(private), "-o", str(signature)]
    assert run([*words, "--ignore", "notes"]) == 0
    check = ("verify", folder, "--signature", signature, "--key", public)
    assert call(home, *check) == 0
    assert "1 files signed, 0 differ" in capsys.readouterr().err
    (folder / "extra").write_text("")
    (folder / "weights.bin").write_bytes(b"weightz")
    assert call(home, *check) == 1
    told = capsys.readouterr().out
    assert "altered" in told
    assert "not signed" in told
    assert call(home, *check[:-2]) == 2
    assert run(["sign", str(private), "--key", str(private), "-o", str(private)]) == 2


def test_ledger_verbs(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, proof = tmp_path / "checkpoint.json", tmp_path / "proof.json"
    assert call(home, "ledger", "checkpoint", "-o", kept) == 0
    assert call(home, "ledger", "verify", "--against", kept) == 0
    size = len(home.ledger.entries())
    assert json.loads(capsys.readouterr().out)["entries"] == size
    assert call(home, "ledger", "prove", "2", "--checkpoint", kept, "-o", proof) == 0
    assert call(home, "ledger", "check", proof) == 0
    assert call(home, "ledger", "prove", "2", "--sealed", "-o", proof) == 0
    assert json.loads(proof.read_text())["body"] is None
    assert call(home, "ledger", "check", proof) == 0
    proof.write_text(proof.read_text().replace('"index": 2', '"index": 3'))
    assert call(home, "ledger", "check", proof) == 1
    assert call(home, "ledger", "prove", str(size)) == 2
    assert call(home, "ledger", "check", tmp_path / "absent") == 2
