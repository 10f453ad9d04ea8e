"""What a hardening gains and costs: measured, drawn, and said so where it failed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hauberk.adapters.local.hardening import interval, replace_method, way_of
from hauberk.adapters.models import weights
from hauberk.adapters.models.architectures import build
from hauberk.core.errors import UserError
from hauberk.core.interval import mean_interval
from hauberk.core.spec import HardenSpec, Spec
from hauberk.faces.cli.main import run
from hauberk.govern.trade_off import Way, front, rows
from hauberk.govern.trade_off_page import page
from hauberk.harden.auto import Auto


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def a_way(name: str, clean: float, robust: float, **more: Any) -> Way:
    mean = (robust, (robust - 0.02, robust + 0.02))
    known: dict[str, Any] = {
        "seeds": 3,
        "int8_robust": mean,
        "seconds": 12.0,
        "cpu_seconds": 11.0,
        "peak_mib": 300.0,
        "p50_ms": 0.1,
        "p95_ms": 0.2,
        "cost": 0.01,
        "attacks": {"fgsm": {"0.15": mean}},
        "curve": [(1, robust / 2), (2, robust)],
    }
    clean_mean = (clean, (clean - 0.01, clean + 0.01))
    return Way(name=name, clean=clean_mean, robust=mean, **{**known, **more})


def test_the_front_holds_what_nothing_beats_twice() -> None:
    ways = [
        a_way("a", 0.98, 0.50),
        a_way("b", 0.97, 0.60),
        a_way("c", 0.96, 0.60),
        a_way("d", 0.95, 0.70),
        a_way("e", 0.95, 0.70),
    ]
    assert [one.name for one in front(ways)] == ["d", "e", "b", "a"]
    assert [cells[4] for cells in rows(ways)] == ["yes", "yes", "", "yes", "yes"]


def test_the_page_is_whole_and_always_the_same() -> None:
    ways = [a_way("ema,<fast>", 0.98, 0.50), a_way("trades", 0.97, 0.60, cost=None)]
    text = page(ways, title="T", kept="trades, seed 0")
    assert text == page(ways, title="T", kept="trades, seed 0")
    assert text.count("<svg") == 2
    assert "ema,&lt;fast&gt;" in text
    assert "<fast>" not in text
    assert "60.0 % [58.0, 62.0]" in text.replace("\u00a0", " ")
    assert text.count('class="guide"') == 2  # the front and its name, in no way's colour
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_intervals_over_seeds_are_students() -> None:
    low, high = mean_interval([0.6, 0.7, 0.8])
    assert (high - low) / 2 == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)
    many = [0.5 + 0.01 * (n % 5) for n in range(21)]  # 20 degrees of freedom: 2.0860
    low, high = mean_interval(many)
    spread = torch.tensor(many, dtype=torch.float64).std().item()
    assert (high - low) / 2 == pytest.approx(2.0860 * spread / 21**0.5, rel=1e-3)
    assert interval([0.9, 1.0], 10)[1][1] == 1.0
    assert interval([0.5], 100)[1] == pytest.approx((0.4038, 0.5962), abs=1e-3)


def test_a_spec_names_a_race_a_recipe_and_a_teacher() -> None:
    assert way_of(replace_method(Spec(), "auto"), 100) == Auto(budget=120.0)
    teacher = build("mlp", {"in_shape": [4], "classes": 2})
    made = way_of(replace_method(Spec(), "robust-distil"), 100, teacher=teacher)
    assert made.teacher is teacher
    made = way_of(replace_method(Spec(), "adversarial,distil,cutmix"), 100, teacher=teacher)
    assert made.parts[0].teacher is teacher
    with pytest.raises(UserError, match="needs an attack"):
        way_of(replace_method(Spec(), "cutmix"), 100)


def harden(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The verb in this process, on digits with a small model."""
    out = folder / "out.json"
    known = ["--data", "digits", "--set", "model.architecture=mlp", "--quiet", "--samples", "60"]
    code = run(["harden", *arguments, *known, "--format", "json", "-o", str(out)])
    return code, json.loads(out.read_text()) if out.exists() else {}


def test_a_setting_that_a_method_has_not_is_refused() -> None:
    asked = Spec(harden=HardenSpec(method="ema,atta", steps=3))
    assert way_of(asked, 100).steps == 3
    assert way_of(replace_method(Spec(), "ema,atta"), 100).steps == 1
    for method, line in (
        ("n-fgsm", "harden.steps: n-fgsm has no such setting"),
        ("auto", "harden.steps: auto chooses that itself"),
    ):
        with pytest.raises(UserError, match=line):
            way_of(replace_method(asked, method), 100)


def test_the_verb_measures_compares_and_reports_a_loss_of_robustness(tmp_path: Path) -> None:
    robust = tmp_path / "robust.safetensors"
    shown = tmp_path / "page.html"
    more = ["--set", "harden.steps=2", "--price", "3.6", "--page", str(shown), "--twin"]
    code, found = harden(
        tmp_path, "--to", str(robust), "--epochs", "4", "--against", "ema,trades", *more
    )
    assert code in {0, 1}
    assert [one["trial"] for one in found["trials"]] == [
        "adversarial, seed 0",
        "ema,trades, seed 0",
    ]
    for one in found["trials"]:
        assert one["weights_differ"] < 1e-4
        assert one["cost"] == pytest.approx(one["train_seconds"] / 1000)
        assert 0 <= one["int8"]["robust"] <= 1
        assert one["int8"]["bytes"] < robust.stat().st_size / 2
    same = [one for one in found["evidence"] if one["rule"] == "HB-E007"]
    assert [one["verdict"] for one in same] == ["pass"]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("robust.safetensors", "robust.onnx", "robust.int8.onnx", "page.html", "out.json"),
        *("robust-twin.safetensors", "robust-twin.onnx"),
    }
    twin = weights.load(tmp_path / "robust-twin.safetensors").module.state_dict()
    own = weights.load(robust).module.state_dict()
    assert not any(torch.equal(twin[name], value) for name, value in own.items())

    worse = ["--to", str(tmp_path / "worse.safetensors"), "--with", "noise", "--epochs", "4"]
    code, found = harden(tmp_path, str(robust), *worse)
    assert code == 1
    gain = [one for one in found["evidence"] if one["rule"] == "HB-E004"]
    assert [one["verdict"] for one in gain] == ["fail"]
    assert gain[0]["value"] < 0


def test_the_verb_refuses_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["--to", str(tmp_path / "m.safetensors")]
    for arguments, words in (
        (["--against", "adversarial"], "named twice"),
        (["--with", "fast", "--budget", "9s"], "a budget is for method auto"),
        (["--budget", "soon"], "not a time"),
        (["--with", "fast,trades"], "more than one method"),
        (["--with", "fsat"], "fast"),
    ):
        assert harden(tmp_path, *to, *arguments)[0] == 2
        assert words in capsys.readouterr().err


def test_a_smaller_twin_is_distilled_and_what_it_costs_is_told(tmp_path: Path) -> None:
    more = ["--epochs", "3", "--set", "harden.steps=1", "--twin", "--twin-width", "0.25"]
    code, found = harden(tmp_path, "--to", str(tmp_path / "m.safetensors"), *more)
    assert code in {0, 1}
    small = weights.load(tmp_path / "m-twin.safetensors")
    assert small.architecture is not None
    assert small.architecture.params["widths"] == [32, 16]
    assert found["twin_parameters"] == sum(p.numel() for p in small.module.parameters())
    assert 0.2 < found["twin_parameters_share"] < 0.3
    assert found["twin_flops_share"] == pytest.approx(found["twin_parameters_share"], abs=0.01)
    for key in ("twin_ms_share", "twin_agreement", "twin_clean", "twin_pgd40x2"):
        assert 0 <= found[key] <= 1.5
