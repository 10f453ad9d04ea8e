"""CoSAI's controls beside ours, and every control with its rules or none."""

from pathlib import Path

import pytest

from hauberk.core.errors import ConfigError
from hauberk.core.rule import RULES
from hauberk.faces.cli.main import run
from hauberk.govern import catalogues
from hauberk.govern.atlas import shipped
from hauberk.govern.crosswalk import NOT_COVERED, controls, crosswalk, read_cosai


def test_every_control_names_rules_that_exist_or_says_that_none_covers_it() -> None:
    for name, title, mitigations, rules in controls():
        assert name
        assert title
        known = {one.id for one in shipped().mitigations}
        assert mitigations == "-" or set(mitigations.split(", ")) <= known
        assert rules == NOT_COVERED or set(rules.split(", ")) <= set(RULES)
    uncovered = {name for name, _, _, rules in controls() if rules == NOT_COVERED}
    assert uncovered == {"encryption-at-rest"}


def test_what_a_threat_requires_is_a_control() -> None:
    required = {c for rule in catalogues.table("stride.toml")["rule"] for c in rule["controls"]}
    assert required <= {name for name, *_ in controls()}


def test_the_shipped_crosswalk() -> None:
    found = {one.id: one for one in crosswalk()}
    assert found["controlTrainingDataSanitization"].controls == ("data-sanitising",)
    assert "HB-V306" in found["controlTrainingDataSanitization"].rules
    assert found["controlModelPrivacyEnhancingTechnologies"].cells[-1] == NOT_COVERED
    ours = set(catalogues.table("controls.toml"))
    assert {c for one in found.values() for c in one.controls} <= ours
    known = {one.id for one in shipped().mitigations}
    assert {m for one in found.values() for m in one.atlas} <= known


def test_a_file_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = {
        "controls": [
            {
                "id": "controlAdversarialTrainingAndTesting",
                "risks": ["riskModelEvasion"],
                "mappings": {
                    "mitre-atlas": ["AML.M0003@5.0.1"],
                    "nist-ai-rmf": ["MEASURE-2.7@1.0"],
                },
            },
            {"id": "controlNew", "risks": "all"},
        ]
    }
    first, second = crosswalk(read_cosai(tree, where="x"))
    assert (first.atlas, first.nist) == (("AML.M0003",), ("MEASURE-2.7",))
    assert "HB-E001" in first.rules
    assert second.cells[-2:] == [NOT_COVERED, NOT_COVERED]
    (tmp_path / "c.yaml").write_text("controls:\n- id: controlNew\n  risks: all\n")
    assert (
        run(["threats", "crosswalk", "--from", str(tmp_path / "c.yaml"), "--format", "json"]) == 0
    )
    assert "controlNew" in capsys.readouterr().out
    assert run(["threats", "controls"]) == 0


@pytest.mark.parametrize("tree", [None, [], {"controls": 3}, {"controls": [{"title": "x"}]}])
def test_what_is_no_such_file(tree: object) -> None:
    with pytest.raises(ConfigError):
        read_cosai(tree, where="x")


@pytest.mark.parametrize("text", ["a: [", "controls: 3", "\x00"])
def test_bad_files_on_the_command_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert run(["threats", "crosswalk", "--from", str(tmp_path / "c.yaml")]) == 2
    assert run(["threats", "crosswalk", "--from", str(tmp_path / "none.yaml")]) == 2
