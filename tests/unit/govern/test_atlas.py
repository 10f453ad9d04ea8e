"""The ATLAS catalogue: both forms, odd records, other releases' ids, phases and knowledge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import DataError, UnknownNameError
from hauberk.core.rule import RULES
from hauberk.govern import atlas_use, catalogues
from hauberk.govern.atlas import RENAMED, Catalogue, shipped
from hauberk.govern.atlas_read import read_catalogue
from hauberk.govern.effects import measuring

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "atlas" / "ATLAS.yaml"


def old_form() -> dict[str, Any]:
    return {
        "version": "5.6.0",
        "matrices": [
            {
                "tactics": [{"id": "AML.TA0001", "name": "Staging"}],
                "techniques": [
                    {"id": "AML.T0019", "name": "Publish", "tactics": ["AML.TA0001"]},
                    {"id": "AML.T0019.000", "name": "Sub", "subtechnique-of": "AML.T0019"},
                    {"id": "AML.T0052", "name": "Phish", "tactics": ["AML.TA0001"]},
                ],
                "mitigations": [
                    {
                        "id": "AML.M0018",
                        "name": "Teach",
                        "techniques": [{"id": "AML.T0019", "use": "how"}],
                        "ml-lifecycle": ["Deployment", {"id": "AML.T0052", "use": "odd"}],
                        "category": ["Policy"],
                    }
                ],
            }
        ],
        "case-studies": [
            {"id": "AML.CS0001", "name": "Case", "procedure": [{"technique": "AML.T0019"}]}
        ],
    }


def new_form() -> dict[str, Any]:
    return {
        "format-version": "6.0.0",
        "collection": {"version": 2026.1},  # what YAML makes of an unquoted 2026.10
        "tactics": {"AML.TA0002": {"name": "Late"}, "AML.TA0001": {"name": "Early"}},
        "techniques": {
            "AML.T0115": {"name": "Publish", "platforms": ["Predictive AI"]},
            "AML.T0115.000": {"name": "Datasets"},
            "AML.T0007": {"name": "Gone", "deprecated": True},
        },
        "mitigations": {
            "AML.M0018": {"name": "Teach", "categories": ["Policy"], "lifecycle-phases": ["Use"]}
        },
        "relationships": {
            "AML.T0115": {"achieves": [{"source": "AML.T0115", "target": "AML.TA0001"}]},
            "AML.T0115.000": {"specializes": [{"source": "AML.T0115.000", "target": "AML.T0115"}]},
            "AML.M0018": {"mitigates": [{"source": "AML.M0018", "target": "AML.T0115"}]},
            "ATLAS": {
                "sequences": [
                    {"source": "ATLAS", "target": "AML.TA0001", "position": 0},
                    {"source": "ATLAS", "target": "AML.TA0002", "position": 1},
                ]
            },
        },
    }


def read(tree: Any) -> Catalogue:
    return read_catalogue(tree, source="sha256:" + "0" * 64)


def test_what_ships() -> None:
    found = shipped()
    assert (found.version, len(found.tactics), len(found.techniques)) == ("5.6.0", 16, 170)
    assert (len(found.mitigations), len(found.studies)) == (35, 57)
    assert sum(len(one.techniques) for one in found.mitigations) == 246
    assert len(found.unmitigated()) == 82
    assert Catalogue.from_json(found.to_json()) == found
    assert found.to_json() == catalogues.text("atlas-5.6.0.json")


def test_what_ships_is_what_mitre_published() -> None:
    if not DATA.exists():
        pytest.skip("../shared/data/atlas is not there")
    assert shipped().source == digest_bytes(DATA.read_bytes())
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    if not yaml.__with_libyaml__:
        pytest.skip("PyYAML without its loader in C takes half a minute")
    tree = yaml.load(DATA.read_bytes(), Loader=yaml.CSafeLoader)
    found = read_catalogue(tree, source=shipped().source)
    assert found == shipped()


def test_the_old_form_and_its_odd_record() -> None:
    found = read(old_form())
    teach = found.mitigation("AML.M0018")
    assert teach.stages == ("Deployment",)
    assert teach.techniques == {"AML.T0019": "how", "AML.T0052": "odd"}
    assert found.unmitigated() == ()
    assert found.title(found.technique("AML.T0019.000")) == "Publish: Sub"
    assert found.studies[0].techniques == ("AML.T0019",)


def test_format_6() -> None:
    found = read(new_form())
    assert (found.version, found.format, found.label) == ("2026.10", "6.0.0", "ATLAS 2026.10")
    assert [one.name for one in found.tactics] == ["Early", "Late"]
    datasets = found.technique("AML.T0115.000")
    assert found.tactics_of(datasets) == ("AML.TA0001",)
    assert [one.id for one in found.mitigations_of(datasets)] == ["AML.M0018"]
    assert found.technique("AML.T0115").platforms == ("Predictive AI",)
    assert "AML.T0007" not in found.by_id


def test_ids_of_other_releases() -> None:
    assert read(new_form()).technique("AML.T0019").id == "AML.T0115.000"
    assert shipped().technique("AML.T0115.001").id == "AML.T0058"
    assert RENAMED["AML.T0019"] == "AML.T0115.000"
    with pytest.raises(UnknownNameError) as failure:
        shipped().technique("AML.T043")
    assert "did you mean" in failure.value.hint


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t["matrices"][0]["techniques"][0].update(id="T19"), "not an ATLAS id"),
        (lambda t: t["matrices"][0]["techniques"][0].update(name=""), "no name"),
        (lambda t: t["matrices"][0]["techniques"][0].update(tactics=["AML.TA0099"]), "AML.TA0099"),
        (lambda t: t["matrices"][0]["techniques"].pop(2), "AML.T0052"),
        (lambda t: t["matrices"][0]["tactics"].append({"id": "AML.TA0001", "name": "x"}), "twice"),
        (lambda t: t["matrices"][0].update(tactics=[]), "no tactics"),
        (lambda t: t.update(matrices=[]), "no tactics"),
    ],
)
def test_a_malformed_file_is_named(change: Any, told: str) -> None:
    tree = old_form()
    change(tree)
    with pytest.raises(DataError, match=told):
        read(tree)


@pytest.mark.parametrize("tree", [None, [], {}, "text", {"techniques": {}}, {"matrices": [7]}])
def test_what_is_no_catalogue(tree: Any) -> None:
    with pytest.raises(DataError):
        read(tree)


def test_operations_black_box() -> None:
    ids = [one.id for one in atlas_use.chosen(shipped(), phase="operations", known="black-box")]
    wanted = ["AML.T0043.001", "AML.T0043.002", "AML.T0024"]
    wanted += [f"AML.T0024.00{n}" for n in range(3)]
    assert set(wanted) <= set(ids)
    assert "AML.T0043.000" not in ids
    with pytest.raises(UnknownNameError):
        list(atlas_use.chosen(shipped(), phase="operation"))


def test_every_id_in_our_tables_exists() -> None:
    found = shipped()
    table = catalogues.table("atlas_use.toml")
    assert set(table["tactics"]) == {one.id for one in found.tactics}
    for ident in (*table["phases"], *table["knowledge"]):
        assert ident in found.by_id
    for name, control in catalogues.table("controls.toml").items():
        for ident in control.get("mitigations", ()):
            assert found.mitigation(ident), name
        assert set(control.get("rules", ())) <= set(RULES), name
    for ident in catalogues.table("effects.toml"):
        assert set(measuring(found.mitigation(ident).id)) <= set(RULES)
