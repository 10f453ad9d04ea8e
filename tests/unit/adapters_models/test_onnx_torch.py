"""ONNX as torch: the same answers, gradients, and an honest no where it cannot be."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.load import load
from hauberk.adapters.models.onnx import OnnxModel, export
from hauberk.adapters.models.onnx_node import Unconvertible
from hauberk.adapters.models.onnx_torch import ConvertedModel, convert
from hauberk.core.model import Access

if TYPE_CHECKING:
    from pathlib import Path

torch.set_num_threads(1)


class _Wide(nn.Module):
    """Most of what image networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.mix = nn.Conv2d(8, 6, 1)
        self.layer = nn.LayerNorm(6)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardswish(self.norm(self.first(x)))
        a, b = self.deep(x).chunk(2, 1)
        x = torch.cat([functional.leaky_relu(a), functional.gelu(b)], 1)
        x = x * torch.sigmoid(x) + functional.elu(x).clamp(-0.5, 2.0)
        x = functional.max_pool2d(x, 2) + functional.avg_pool2d(x, 2)
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.mix(functional.pad(x, (1, 0, 0, 1))).flatten(2).transpose(1, 2)
        weight = torch.softmax(x.mean(2, keepdim=True) / 3, 1)
        x = self.layer((weight * x).sum(1))
        out: Tensor = self.last(x - x.abs().sqrt().unsqueeze(1).squeeze(1))
        return out


def _old(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """By the older exporter, which writes other operators for the same network."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, *shape),),
            buffer,  # type: ignore[arg-type]  # the older exporter takes a stream
            dynamo=False,
            opset_version=12,
            input_names=["x"],
            output_names=["logits"],
            dynamic_axes={"x": {0: "n"}, "logits": {0: "n"}},
        )
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (_Wide(), (3, 16, 16)),
        (build("cnn", {"in_shape": [1, 12, 12], "classes": 5}), (1, 12, 12)),
        (build("mlp", {"in_shape": [7], "classes": 3}), (7,)),
    ],
    ids=["wide", "cnn", "mlp"],
)
@pytest.mark.parametrize("exporter", [export, _old], ids=["new", "old"])
def test_answers_and_gradients_are_those_of_the_module(
    module: nn.Module, shape: tuple[int, ...], exporter: object
) -> None:
    data = exporter(module, shape)  # type: ignore[operator]
    model = ConvertedModel(convert(data))
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out, expected = model(x), module.eval()(x)
    assert torch.allclose(out, expected, atol=1e-4)
    (found,) = torch.autograd.grad(out[:, 0].sum(), x)
    (own,) = torch.autograd.grad(expected[:, 0].sum(), x)
    assert torch.allclose(found, own, atol=1e-4)
    assert float(own.abs().max()) > 0
    assert model(x[:0]).shape == (0, out.shape[1])


def _graph(*nodes: onnx.NodeProto, batch: int | str = "n", constants: object = ()) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants],  # type: ignore[attr-defined]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    data: bytes = model.SerializeToString()
    return data


def test_a_batch_of_one_is_mapped_over_many() -> None:
    shape = ("shape", np.array([1, 2, 3], np.int64)), ("flat", np.array([1, 6], np.int64))
    data = _graph(
        helper.make_node("Reshape", ["x", "shape"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"], axis=2),
        helper.make_node("Reshape", ["b", "flat"], ["y"]),
        batch=1,
        constants=shape,
    )
    model = convert(data)
    x = torch.rand(4, 6)
    assert torch.allclose(model(x), x.view(4, 2, 3).softmax(2).view(4, 6), atol=1e-6)
    assert model(x[:0]).shape == (0, 6)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Hardmax", ["x"], ["y"]),
        helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"),
        helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16),
    ],
    ids=["operator", "domain", "type"],
)
def test_what_has_no_counterpart_is_refused(node: onnx.NodeProto) -> None:
    with pytest.raises(Unconvertible):
        convert(_graph(node))


def test_another_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from hauberk.adapters.models.onnx_ops import OPERATORS

    data = _graph(helper.make_node("Relu", ["x"], ["y"]))
    monkeypatch.setitem(OPERATORS, "Relu", lambda _node, x: x - 1)
    with pytest.raises(Unconvertible, match="other answers"):
        convert(data)


def test_a_file_is_opened_with_all_that_it_gives(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(export(build("mlp", {"in_shape": [6], "classes": 6}), (6,)))
    found = load(file)
    assert isinstance(found, ConvertedModel)
    assert found.access == Access.GRADIENTS
    file.write_bytes(_graph(helper.make_node("Hardmax", ["x"], ["y"])))
    assert isinstance(load(file), OnnxModel)
