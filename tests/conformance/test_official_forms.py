"""Our SPDX, OSCAL and Navigator documents, read by the libraries of those who made the forms.

The extra ``forms`` brings these libraries; where they are absent, nothing is said.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.core.digest import digest_bytes
from hauberk.govern.atlas import shipped
from hauberk.govern.bom_facts import Declared, Package, gather
from hauberk.govern.compliance import assess_framework, frameworks
from hauberk.govern.compliance_report import navigator, oscal
from hauberk.govern.spdx import spdx
from hauberk.govern.taken import newest, taken

MODEL, DATA = digest_bytes(b"model"), digest_bytes(b"data")
NOW = 1_800_000_000.0


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    kept = SqliteLedger(tmp_path / "ledger.db")
    parts = {"train": {"samples": 10, "digest": digest_bytes(b"part")}}
    body = {"name": "digits", "source": "digits", "samples": 10, "classes": 10, "parts": parts}
    kept.append("dataset", DATA, body, at=1.0)
    model = {"name": "reader", "role": "primary", "weights": digest_bytes(b"w"), "dataset": DATA}
    told = {"architecture": {"name": "mlp", "params": {}}, "parent": None, "origin": {"seed": 1}}
    kept.append("model", MODEL, {**model, **told}, at=2.0)
    return kept


@pytest.mark.parametrize("declared", [Declared(), Declared(supplier="ACME", license="MIT")])
def test_spdx(ledger: SqliteLedger, declared: Declared) -> None:
    official = pytest.importorskip("spdx_python_model", reason="needs hauberk[forms]").v3_0_1
    packages = [Package(name="numpy", version="2.0", license="BSD-3-Clause")]
    found = gather(ledger, MODEL, packages=packages, declared=declared)
    document = spdx(found, version="0.1.0")
    objects = official.SHACLObjectSet()
    official.JSONLDDeserializer().read(io.BytesIO(json.dumps(document).encode()), objects)
    kinds = {type(one).__name__ for one in objects.foreach()}
    assert {"ai_AIPackage", "dataset_DatasetPackage", "software_Package"} <= kinds
    written = io.BytesIO()
    official.JSONLDSerializer().write(objects, written)  # checks what is mandatory
    assert json.loads(written.getvalue())


def _assessed(ledger: SqliteLedger, name: str) -> Any:
    return assess_framework(name, newest(taken(ledger.entries())), shipped(), at=NOW)


@pytest.mark.parametrize("name", [one for one in frameworks() if one != "atlas"])
def test_oscal(ledger: SqliteLedger, name: str) -> None:
    official = pytest.importorskip("trestle.oscal.assessment_results", reason="hauberk[forms]")
    official.Model.parse_obj(oscal(_assessed(ledger, name)))


def test_navigator(ledger: SqliteLedger) -> None:
    """Its library knows ATT&CK alone, so domain and ids are put as there; all else is as it is."""
    official = pytest.importorskip("mitreattack.navlayers", reason="needs hauberk[forms]")
    layer = navigator(_assessed(ledger, "atlas"))
    layer["domain"] = "enterprise-attack"
    for one in layer["techniques"]:
        one["techniqueID"] = one["techniqueID"].removeprefix("AML.")
    read = official.Layer(strict=True)
    read.from_dict(layer)
    assert len(read.layer.techniques) == 170
