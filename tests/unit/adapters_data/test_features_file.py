from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hauberk.adapters.data.features_file import read_features
from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save
from hauberk.core.errors import ConfigError
from hauberk.faces.cli.main import run

if TYPE_CHECKING:
    from hauberk.core.data import Dataset

LAWS = """
fixed = ["colour"]
[column.age]
low = 18
high = 70
reach = 5
way = "up"
[column.share]
step = 0.25
[[relation]]
sum = { age = 1, share = -40 }
least = -100
most = 130
[[group]]
columns = ["left", "right"]
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["age,colour,share,left,right,label"]
    for _ in range(300):
        side = int(rng.integers(0, 2))
        colour = rng.choice(["red", "green", "blue"])
        share = rng.integers(0, 9) / 4
        age = int(rng.integers(10, 111))
        lines.append(f"{age},{colour},{share},{side},{1 - side},{int(age > 60)}")
    file = tmp_path / "people.csv"
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def data(table: Path) -> Dataset:
    return load_dataset(f"csv:{table}")


def _laws(tmp_path: Path, text: str) -> str:
    file = tmp_path / "laws.toml"
    file.write_text(text)
    return str(file)


def test_titles_and_units_of_the_table(data: Dataset, tmp_path: Path) -> None:
    found = read_features(_laws(tmp_path, LAWS), data.columns)
    age = data.columns[0]
    assert (age.title, age.whole, age.low, age.span) == ("age", True, 10, 100)
    assert len(found) == 7 == data.x.shape[1]
    assert found.mutable == (True, False, False, False, True, True, True)
    assert found.groups == ((1, 2, 3), (5, 6))
    assert found.low[0] == pytest.approx(0.08)
    assert found.high[0] == pytest.approx(0.6)
    assert found.reach[0] == pytest.approx(0.05)
    assert found.reach[1] == inf
    assert found.step[:1] + found.step[4:] == pytest.approx((0.01, 0.125, 0.0, 0.0))
    assert found.monotone[0] == 1
    (relation,) = found.relations
    # 10 + 100 a - 40 (2 s), over the largest weight, which is 100.
    assert relation.columns == (0, 4)
    assert relation.weights == pytest.approx((1.0, -0.8))
    assert (relation.least, relation.most) == pytest.approx((-1.1, 1.2))
    assert not any(rows.any() for rows in found.violations(data.x, data.x).values())


def test_only_what_is_named_may_change(data: Dataset, tmp_path: Path) -> None:
    found = read_features(_laws(tmp_path, 'mutable = ["share"]'), data.columns)
    assert [place for place, may in enumerate(found.mutable) if may] == [4]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('fixed = ["colours"]', "no column 'colours'"),
        ("[column.colour]\nhigh = 1", "holds categories"),
        ("[column.age]\nhihg = 1", "hihg"),
        ("[column.age]\nreach = 0", "reach"),
        ("fixed = ", "cannot be read"),
        ('[[relation]]\nsum = { age = "x" }', "cannot be read"),
    ],
)
def test_what_cannot_be_meant(data: Dataset, tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_features(_laws(tmp_path, text), data.columns)


def test_only_a_table_has_columns(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the data has none"):
        read_features(_laws(tmp_path, LAWS), ())


def test_the_verb_keeps_the_constraints(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shape = {"in_shape": [7], "classes": 2}
    model = tmp_path / "model.safetensors"
    model.write_bytes(
        save(TorchModel(module=build("mlp", shape), architecture=Architecture("mlp", shape)))
    )
    (tmp_path / "laws.toml").write_text(LAWS)
    args = ["evaluate", str(model), "--data", f"csv:{table}", "--threat", "linf:0.2", "--quiet"]
    args += ["--format", "json", "-o", "out.json"]
    assert run([*args, "--features", "laws.toml"]) in {0, 1}
    told = json.loads(Path("out.json").read_text())
    assert '"features": "sha256:' in json.dumps(told)
    assert run([*args, "--features", "none.toml"]) == 2
