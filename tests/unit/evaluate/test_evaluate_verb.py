"""``hauberk evaluate`` on a small model: the flags that bound an evaluation."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest

from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save
from hauberk.core import registry
from hauberk.faces.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = {"in_shape": [1, 28, 28], "classes": 10}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    architecture = Architecture("mlp", SHAPE)
    file = tmp_path / "model.safetensors"
    file.write_bytes(save(TorchModel(module=build("mlp", SHAPE), architecture=architecture)))
    return file


def _told(model: Path, *flags: str) -> tuple[int, dict[str, Any]]:
    out = model.with_suffix(".json")
    args = ["evaluate", str(model), "--data", "digits", "--attacks", "fgsm", "--quiet"]
    code = run([*args, *flags, "--format", "json", "-o", str(out)])
    found: dict[str, Any] = json.loads(out.read_text())
    return code, found


def test_a_narrow_enough_interval_ends_it_early(model: Path) -> None:
    _, found = _told(model, "--samples", "200", "--width", "0.2")
    assert '"n": 100' in json.dumps(found)
    _, found = _told(model, "--samples", "200", "--width", "0.0001")
    assert '"n": 200' in json.dumps(found)


@pytest.mark.parametrize("text", ["5x", "", "-3s", "nan", "inf", "0"])
def test_a_budget_that_is_no_time_is_refused(
    model: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["evaluate", str(model), "--data", "digits", "--budget", text])
    assert code == 2
    assert "not a time" in capsys.readouterr().err


def test_a_budget_is_read(model: Path) -> None:
    _, found = _told(model, "--samples", "120", "--budget", "10m")
    assert '"n": 120' in json.dumps(found)


def test_attacks_are_made_ready(model: Path) -> None:
    """A universal one is fitted, a surrogate handed over; without one the verb says what to do."""
    flags = ("--attacks", "universal,transfer", "--samples", "40")
    _, found = _told(model, *flags, "--surrogate", str(model))
    text = json.dumps(found)
    assert "universal" in text
    assert "transfer" in text
    args = ["evaluate", str(model), "--data", "digits", "--quiet"]
    assert run([*args, *flags]) == 2
    assert run([*args, "--attacks", "fgsm", "--surrogate", str(model)]) == 2


def test_proofs_stand_beside_the_attacks(model: Path) -> None:
    claim = model.with_name("claims.toml")
    claim.write_text('[[property]]\nname = "grey"\nlow = 0.5\nhigh = 0.5\nabove = [0, 1]\n')
    flags = ("--threat", "linf:0.001", "--certify", "interval", "--certify", "crown")
    code, found = _told(model, "--samples", "8", *flags, "--property", str(claim))
    assert code == 1
    told: Any = found
    assert [one["rule"] for one in told].count("HB-E008") == 2
    (proof,) = (one for one in told if one["rule"] == "HB-E009")
    assert proof["verdict"] in {"pass", "fail"}
    code = run(["evaluate", str(model), "--data", "digits", "--certify", "smoothing", "--quiet"])
    assert code == 2, "smoothing certifies in l2"


def test_a_plug_in_gives_a_model(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def point(group: str) -> list[EntryPoint]:
        value = "hauberk.adapters.models.load:load_named"
        return [EntryPoint(name="shelf", value=value, group=group)] * (group == "hauberk.model")

    monkeypatch.setattr(registry, "entry_points", point)
    out = model.with_suffix(".json")
    args = ["--data", "digits", "--attacks", "fgsm", "--samples", "40", "--quiet"]
    tail = ["--format", "json", "-o", str(out)]
    assert run(["evaluate", f"shelf:{model}", *args, *tail]) in {0, 1}
    assert '"n": 40' in out.read_text()
    assert run(["evaluate", f"shelf:{model}.none", *args]) == 2
    assert run(["evaluate", "none.safetensors", *args]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_page_and_a_command_that_repeats_the_figures(model: Path) -> None:
    page = model.with_suffix(".html")
    shared = ["--data", "digits", "--attacks", "fgsm,square", "--samples", "12", "--quiet"]
    run(["evaluate", str(model), *shared, "--format", "html", "-o", str(page)])
    html = page.read_text()
    for text in ("worst case", "queries allowed for a sample", "Class by class", "HB-E005"):
        assert text in html, text
    _, first = _told(model, "--samples", "12", "--threat", "linf:1/255", "--seed", "3")
    told: Any = first
    command = shlex.split(told[0]["spec"]["command"])
    out = model.with_name("again.json")
    run([*command[1:], "--quiet", "--format", "json", "-o", str(out)])
    again = json.loads(out.read_text())
    assert [one["value"] for one in again] == [one["value"] for one in told]


def test_two_models_are_compared(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = model.with_name("other.safetensors")
    other.write_bytes(model.read_bytes())
    _, found = _told(model, "--samples", "12", "--against", str(other))
    told: Any = found
    gained = {one["rule"]: one["value"] for one in told if one["rule"] in {"HB-E003", "HB-E004"}}
    assert gained["HB-E003"] == 0.0
    assert gained["HB-E004"] <= 0.0
    bounded = [
        "evaluate",
        str(model),
        "--data",
        "digits",
        "--budget",
        "9s",
        "--against",
        str(other),
    ]
    assert run(bounded) == 2
    assert "compared on all samples" in capsys.readouterr().err
