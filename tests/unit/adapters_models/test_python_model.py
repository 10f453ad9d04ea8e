"""Models of a user's own code, and what their inputs go through first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.unit.adapters_models.nets import SHAPE, Before, images, net, old_onnx
from torch import Tensor, nn

from hauberk.adapters.models.source import located, model_digest, open_model
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.core.errors import ConfigError, HauberkError, ModelFormatError
from hauberk.core.model import Access
from hauberk.faces.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

torch.set_num_threads(1)
CODE = """
import numpy as np
from torch import nn
from hauberk.adapters.models.called import CalledModel

def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))

def soft():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Softmax(1))

class Trees:
    classes_ = np.arange(3)

    def predict_proba(self, x):
        return np.full((len(x), 3), 1 / 3)

class Odd(Trees):
    classes_ = np.array(["a", "b", "c"])

def own():
    return CalledModel(function=Trees().predict_proba, classes=3)

def broken():
    raise ValueError("no such dataset")

def nothing():
    return 3
"""


@pytest.fixture
def code(tmp_path: Path) -> str:
    file = tmp_path / "nets.py"
    file.write_text(CODE)
    return str(file)


@pytest.fixture
def weights(tmp_path: Path) -> tuple[str, Tensor]:
    file = tmp_path / "w.safetensors"
    weight = torch.randn(3, 12)
    save_file({"1.weight": weight, "1.bias": torch.zeros(3)}, file)
    return str(file), weight


def test_a_module_of_the_users_own(code: str, weights: tuple[str, Tensor]) -> None:
    file, weight = weights
    x = torch.rand(2, 3, 2, 2)
    for name in ("small", "soft"):
        model = open_model(f"python:{code}:{name}@{file}")
        assert model.access == Access.GRADIENTS
        assert isinstance(model, TorchModel)
        assert not model.module.training
        assert torch.allclose(model(x), x.flatten(1) @ weight.T)


def test_weights_of_several_devices(code: str, tmp_path: Path) -> None:
    names = {"module.1.weight": torch.zeros(3, 12), "module.1.bias": torch.ones(3)}
    save_file(names, tmp_path / "w.safetensors")
    model = open_model(f"python:{code}:small@{tmp_path / 'w.safetensors'}")
    assert torch.equal(model(torch.zeros(1, 3, 2, 2)), torch.ones(1, 3))


@pytest.mark.parametrize("name", ["Trees", "own"])
def test_whatever_gives_probabilities(code: str, name: str) -> None:
    model = open_model(f"python:{code}:{name}")
    assert model.access == Access.SCORES
    assert torch.allclose(model(torch.rand(2, 5)).exp(), torch.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "no such dataset"),
        ("nothing", "makes int"),
        ("absent", "there is no 'absent'"),
        ("Odd", "classes are not"),
        ("Trees@{w}", "no torch module"),
        ("small@{w}.not", "no such file"),
        ("small@{code}", "HB-S004"),
    ],
)
def test_what_is_no_model(code: str, weights: tuple[str, Tensor], name: str, told: str) -> None:
    text = name.format(w=weights[0], code=code)
    with pytest.raises(HauberkError, match=told):
        open_model(f"python:{code}:{text}")


def test_code_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import nothing_of_that_name")
    for text in ("python:none.py:net", "python:no.such.module:net", "python:alone"):
        with pytest.raises(ConfigError):
            open_model(text)
    with pytest.raises(ConfigError, match="nothing_of_that_name"):
        open_model(f"python:{tmp_path / 'bad.py'}:net")


def test_weights_that_do_not_fit(code: str, tmp_path: Path) -> None:
    save_file({"1.weight": torch.zeros(3, 11)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelFormatError, match="do not fit"):
        open_model(f"python:{code}:small@{tmp_path / 'w.safetensors'}")


def test_the_digest_is_that_of_code_and_weights(
    code: str, weights: tuple[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"prepared:range=0:255@python:{code}:small@{weights[0]}"
    first = model_digest(text)
    monkeypatch.chdir(tmp_path)
    short = f"prepared:range=0:255@python:nets.py:small@{weights[0]}"
    assert located(short) == text
    assert model_digest(short) == first
    save_file({"1.weight": torch.ones(3, 12), "1.bias": torch.zeros(3)}, weights[0])
    assert model_digest(text) != first


def test_what_inputs_go_through_first(tmp_path: Path) -> None:
    module, x = net("vgg"), images()
    scale = (torch.tensor([[1.0, 2, 3], [4, 5, 6]]).view(2, 3, 1, 1) * 10).unbind()
    undone = Before(module, before=lambda z: (z.permute(0, 3, 1, 2) * scale[1] + scale[0]) / 255)
    file = tmp_path / "model.onnx"
    file.write_bytes(old_onnx(undone.eval(), x.permute(0, 2, 3, 1)))
    settings = "range=0:255;mean=10,20,30;std=40,50,60;channels-last"
    model = open_model(f"prepared:{settings}@{file}")
    assert model.access == Access.GRADIENTS
    with torch.no_grad():
        assert torch.allclose(model(x), module(x), atol=1e-4)


def test_a_model_without_gradients_is_prepared_too(code: str) -> None:
    model = open_model(f"prepared:range=-1:1@python:{code}:Trees")
    assert model.access == Access.SCORES
    assert model(torch.rand(2, 5)).shape == (2, 3)


def test_means_for_other_channels_are_refused(code: str) -> None:
    model = open_model(f"prepared:mean=1,2,3@python:{code}:small")
    with pytest.raises(HauberkError, match="3 channels, samples of 2"):
        model(torch.rand(1, 2, 2, 3))


@pytest.mark.parametrize("settings", ["size=3", "range=1", "range=1:0", "std=0", "mean=a", "std="])
def test_settings_that_say_nothing(settings: str, code: str) -> None:
    with pytest.raises(HauberkError):
        open_model(f"prepared:{settings}@python:{code}:small")


# ---- from the command line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images that a network in it gets right, labelled by rows with a single 1."""
    monkeypatch.chdir(tmp_path)
    module, x = net("residual"), images(24)
    with torch.no_grad():
        y = nn.functional.one_hot(module(x).argmax(1), 4).numpy()
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    (tmp_path / "net.onnx").write_bytes(old_onnx(module, x))
    turned = Before(module, before=lambda z: z.permute(0, 3, 1, 2) / 255).eval()
    (tmp_path / "last.onnx").write_bytes(old_onnx(turned, x.permute(0, 2, 3, 1)))
    return tmp_path


def evaluated(*args: str) -> tuple[int, list[dict[str, Any]]]:
    common = ["--data", "npz:data.npz", "--threat", "linf:2/255", "--set", "gate.eps_factors=1"]
    found = ["-q", "--format", "json", "-o", "found.json", "--samples", "12", *args]
    code = run(["evaluate", *common, *found])
    with open("found.json", encoding="utf-8") as file:  # noqa: PTH123
        return code, json.load(file)


@pytest.mark.parametrize(
    "args",
    [
        ("net.onnx",),
        ("last.onnx", "--range", "0:255", "--channels-last"),
        ("last.onnx", "--range", "0:255", "--channels-last", "--against", "last.onnx"),
    ],
)
@pytest.mark.usefixtures("place")
def test_clean_accuracy_is_the_frameworks(args: tuple[str, ...]) -> None:
    _, found = evaluated(*args, "--attacks", "fgsm")
    clean = next(one for one in found if one["rule"] == "HB-E002")
    assert clean["value"] == 1.0


@pytest.mark.usefixtures("place")
def test_the_wrong_form_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "last.onnx", "--data", "npz:data.npz", "--attacks", "fgsm"]) == 2
    told = capsys.readouterr().err
    assert "--channels-last" in told
    assert "Traceback" not in told


@pytest.mark.usefixtures("place")
def test_too_few_classes_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("data.npz", x=images(24), y=np.arange(24) % 6)
    assert run(["evaluate", "net.onnx", "--data", "npz:data.npz", "--attacks", "fgsm"]) == 2
    assert "knows 4 classes" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
def test_where_no_gradient_is_used_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    body = nn.Sequential(nn.Flatten(2), nn.LSTM(256, 4, batch_first=True))
    module = Before(body, after=lambda out: out[0][:, -1]).eval()
    with open("net.onnx", "wb") as file:  # noqa: PTH123
        file.write(old_onnx(module, images()))
    assert SHAPE[0] == 3
    common = ["--data", "npz:data.npz", "--threat", "linf:2/255", "--samples", "4"]
    run(["evaluate", "net.onnx", *common, "--attacks", "square"])
    assert "no gradients (no counterpart of LSTM): attacked by scores" in capsys.readouterr().err
    assert run(["evaluate", "net.onnx", *common, "--attacks", "auto"]) == 2
    assert "gives scores: no counterpart of LSTM" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
def test_a_model_of_the_tables_own_units(capsys: pytest.CaptureFixture[str]) -> None:
    """Trees that split at amounts, given rows that were scaled as they were read."""
    from pathlib import Path

    rng = np.random.default_rng(0)
    amount, count = rng.uniform(1e5, 9e5, 400), rng.integers(0, 4_000_000, 400)
    label = (amount > 5e5).astype(int) + 2 * (count % 2)
    rows = [
        f"{a!r},{b},c{k % 2},{y}"
        for k, (a, b, y) in enumerate(zip(amount, count, label, strict=True))
    ]
    text = "\n".join(["amount,count,kind,label", *(row.replace("np.float64", "") for row in rows)])
    Path("table.csv").write_text(text.replace("(", "").replace(")", ""))
    Path("trees.py").write_text(
        "import numpy as np\n"
        "class Trees:\n"
        "    classes_ = np.arange(4)\n"
        "    def predict_proba(self, x):\n"
        "        y = (x[:, 0] > 5e5) + 2 * (x[:, 1] % 2)\n"
        "        return np.eye(4)[y.astype(int)]\n"
    )
    common = ["python:trees.py:Trees", "--data", "csv:table.csv", "--threat", "linf:1e-9"]
    more = ["--attacks", "square", "--set", "gate.eps_factors=1", "-q", "--format", "json"]
    run(["evaluate", *common, *more, "--own-units", "-o", "found.json"])
    found = json.loads(Path("found.json").read_text())
    clean = next(one for one in found if one["rule"] == "HB-E002")
    assert clean["value"] > 0.95
    assert "--own-units" in clean["spec"]["command"]
    assert run(["evaluate", "net.onnx", "--data", "npz:data.npz", "--own-units"]) == 2
    assert "only a table" in capsys.readouterr().err
