import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_tensors

from hauberk.adapters.models import weights
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.core.errors import ModelFormatError, UnknownNameError
from hauberk.core.model import Access, Bounds, Model

MLP = Architecture("mlp", {"in_shape": [5], "classes": 3, "widths": [4]})
DATA = Path(__file__).parents[4] / "shared" / "data"


def mlp(seed: int = 0) -> TorchModel:
    return TorchModel(build(MLP.name, MLP.params, seed=seed), Bounds(-1.0, 2.0), MLP)


def file(**declared: Any) -> bytes:
    """A weights file with a declaration of one's own."""
    return save_tensors(mlp().module.state_dict(), metadata={"hauberk": json.dumps(declared)})


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    model = mlp()
    path = tmp_path / "m.safetensors"
    path.write_bytes(weights.save(model))
    found = weights.load(path)
    x = torch.rand(7, 5)
    assert torch.equal(found(x), model(x))
    assert found.bounds == Bounds(-1.0, 2.0)
    assert found.architecture == MLP
    assert found.access is Access.GRADIENTS
    assert isinstance(found, Model)
    assert not found.module.training
    assert all(parameter.requires_grad for parameter in found.module.parameters())


def test_same_weights_same_bytes() -> None:
    assert weights.save(mlp()) == weights.save(mlp())
    assert weights.save(mlp(0)) != weights.save(mlp(1))
    params = {"in_shape": [1, 8, 8], "classes": 2}
    plain = build("cnn", params)
    last = build("cnn", params).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    cnn = Architecture("cnn", params)
    assert weights.save(TorchModel(plain, architecture=cnn)) == weights.save(
        TorchModel(last, architecture=cnn)
    )


def test_loading_leaves_the_global_generator_alone() -> None:
    data = weights.save(mlp())
    before = torch.random.get_rng_state()
    weights.load(data)
    build("mlp", MLP.params, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_model_without_architecture_cannot_be_saved() -> None:
    with pytest.raises(ModelFormatError, match="no architecture"):
        weights.save(TorchModel(torch.nn.Linear(2, 2)))


def test_weights_that_are_not_finite_neither_leave_nor_enter() -> None:
    model = mlp()
    with torch.no_grad():
        next(model.module.parameters()).fill_(float("nan"))
    with pytest.raises(ModelFormatError, match="NaN"):
        weights.save(model)
    data = save_tensors(model.module.state_dict())
    with pytest.raises(ModelFormatError, match="NaN"):
        weights.load(data, architecture=MLP)


def test_a_file_without_declaration_needs_the_architecture() -> None:
    data = save_tensors(mlp().module.state_dict())
    with pytest.raises(ModelFormatError, match="does not say"):
        weights.load(data)
    x = torch.rand(2, 5)
    assert torch.equal(weights.load(data, architecture=MLP)(x), mlp()(x))
    other = Architecture("mlp", {**MLP.params, "classes": 4})
    with pytest.raises(ModelFormatError, match="expected 'mlp'"):
        weights.load(weights.save(mlp()), architecture=other)


GOOD = {"architecture": "mlp", "params": MLP.params, "bounds": [0, 1]}


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"architecture": "mpl"}, UnknownNameError, "unknown architecture"),
        ({"architecture": 7}, ModelFormatError, "declaration"),
        ({"bounds": [1, 0]}, ModelFormatError, "empty bounds"),
        ({"extra": 1}, ModelFormatError, "declaration"),
        ({"params": {**MLP.params, "classes": 4}}, ModelFormatError, "expected"),
        ({"params": {**MLP.params, "widths": [4, 4]}}, ModelFormatError, "do not match"),
        ({"params": {**MLP.params, "depth": 2}}, ModelFormatError, "do not fit"),
        ({"params": {**MLP.params, "widths": [10**9]}}, ModelFormatError, "sizes"),
        ({"params": {"in_shape": [60000], "classes": 60000, "widths": [60000]}}, None, "more than"),
        ({"params": {**MLP.params, "in_shape": "x"}}, ModelFormatError, "do not fit"),
        ({"params": {**MLP.params, "in_shape": None}}, ModelFormatError, "do not fit"),
        ({"params": {**MLP.params, "classes": True}}, ModelFormatError, "sizes"),
        ({"params": {**MLP.params, "classes": -1}}, ModelFormatError, "sizes"),
    ],
)
def test_a_false_declaration_is_refused(
    change: dict[str, Any], error: type[Exception] | None, reason: str
) -> None:
    with pytest.raises(error or ModelFormatError, match=reason):
        weights.load(file(**{**GOOD, **change}))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(cut: float) -> None:
    data = weights.save(mlp())
    with pytest.raises(ModelFormatError):
        weights.load(data[: int(cut * len(data))])


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"architecture": "mlp"}', "7"])
def test_a_damaged_declaration_is_refused(text: str) -> None:
    data = save_tensors(mlp().module.state_dict(), metadata={"hauberk": text})
    with pytest.raises(ModelFormatError, match="declaration"):
        weights.load(data)


def test_a_pickle_with_a_harmless_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    torch.save(mlp().module.state_dict(), path)
    with pytest.raises(ModelFormatError, match="HB-S004"):
        weights.load(path)


def test_the_published_small_cnn_fits_its_declared_architecture() -> None:
    path = DATA / "weights-mnist-dev" / "secml_mnist_smallcnn_standard.pth"
    if not path.is_file():
        pytest.skip("../shared/data/weights-mnist-dev is absent")
    published = torch.load(path, weights_only=True, map_location="cpu")
    module = build("small-cnn", {"in_shape": [1, 28, 28], "classes": 10})
    shapes = [tuple(tensor.shape) for tensor in published.values()]
    assert shapes == [tuple(tensor.shape) for tensor in module.state_dict().values()]
