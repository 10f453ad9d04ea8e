import logging
import math
from pathlib import Path

import numpy as np
import onnx as onnx_format
import pytest
import torch
from torch import Tensor, nn

from hauberk.adapters.models import onnx, weights
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.load import load
from hauberk.adapters.models.session import Session
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.core.errors import ModelFormatError
from hauberk.core.evidence import Verdict
from hauberk.core.model import Access, Model

PARAMS = {"in_shape": [1, 8, 8], "classes": 3, "widths": [4, 8], "hidden": 6}


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return build("cnn", PARAMS)


@pytest.fixture(scope="module")
def exported(module: nn.Module) -> bytes:
    return onnx.export(module, PARAMS["in_shape"])  # type: ignore[arg-type]


def test_the_export_is_the_same_function(module: nn.Module, exported: bytes) -> None:
    for count in (1, 2, 33):
        x = np.random.default_rng(count).random((count, 1, 8, 8), dtype=np.float32)
        evidence = onnx.compare(module, exported, x)
        assert evidence.rule == "HB-E007"
        assert evidence.verdict is Verdict.PASS
        assert evidence.value is not None
        assert evidence.value < 1e-5
        assert evidence.spec["n"] == count


def test_the_input_and_output_have_the_agreed_names(exported: bytes) -> None:
    graph = onnx_format.load_model_from_string(exported).graph
    assert [item.name for item in graph.input] == ["x"]
    assert [item.name for item in graph.output] == ["logits"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_another_model_is_told_apart(exported: bytes) -> None:
    other = build("cnn", PARAMS, seed=1)
    x = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
    assert onnx.compare(other, exported, x).verdict is Verdict.FAIL


def test_no_samples_are_no_proof(module: nn.Module, exported: bytes) -> None:
    evidence = onnx.compare(module, exported, np.empty((0, 1, 8, 8), dtype=np.float32))
    assert evidence.verdict is Verdict.UNKNOWN
    assert evidence.value is not None
    assert math.isnan(evidence.value)


def test_same_weights_same_digest(exported: bytes) -> None:
    """Neither the layout in memory, nor the mode, nor frozen parameters show in the bytes."""
    module = build("cnn", PARAMS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train().requires_grad_(False)
    assert onnx.export(module, PARAMS["in_shape"]) == exported  # type: ignore[arg-type]
    assert module.training
    architecture = Architecture("cnn", PARAMS)
    restored = weights.load(weights.save(TorchModel(module, architecture=architecture)))
    assert onnx.export(restored.module, PARAMS["in_shape"]) == exported  # type: ignore[arg-type]


def test_nothing_of_the_machine_is_in_the_bytes(exported: bytes) -> None:
    for trace in (b"stack_trace", b"site-packages", str(Path.home()).encode(), b"2.13", b".py"):
        assert trace not in exported


def test_the_export_is_quiet(
    module: nn.Module, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        onnx.export(module, [1, 8, 8])
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_traced_is_refused() -> None:
    class Moody(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelFormatError, match="cannot be exported"):
        onnx.export(Moody(), [4])


def test_load_goes_by_content(tmp_path: Path, module: nn.Module, exported: bytes) -> None:
    graph, gradients = tmp_path / "a.bin", tmp_path / "b.bin"
    graph.write_bytes(exported)
    model = TorchModel(module, architecture=Architecture("cnn", PARAMS))
    gradients.write_bytes(weights.save(model))
    x = torch.rand(4, 1, 8, 8)
    for path, access in ((graph, Access.GRADIENTS), (gradients, Access.GRADIENTS)):
        found = load(path)
        assert isinstance(found, Model)
        assert found.access is access
        torch.testing.assert_close(found(x), module(x))
    pickled = tmp_path / "c.onnx"
    torch.save(module.state_dict(), pickled)
    with pytest.raises(ModelFormatError, match="HB-S004"):
        load(pickled)
    with pytest.raises(ModelFormatError, match="no such file"):
        load(tmp_path / "none")


def test_scores_carry_no_gradient(exported: bytes) -> None:
    model = onnx.OnnxModel.open(exported)
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    assert not model(x).requires_grad
    assert isinstance(model.session, Session)
