"""An ONNX graph as a torch module, so that gradients flow; held against onnxruntime before use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.inliner
import onnxruntime as ort
import torch
from torch import Tensor, nn

from hauberk.adapters.models.fixed_batch import by_fixed
from hauberk.adapters.models.onnx_end import answer_of, ended, needed
from hauberk.adapters.models.onnx_node import Node, Unconvertible, tensor
from hauberk.adapters.models.onnx_ops import OPERATORS, run
from hauberk.adapters.models.onnx_quantised import rounded
from hauberk.adapters.models.onnx_tables import DOMAIN, TABLES
from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_NODES = 100_000
_CLOSE = 1e-3
_DOMAINS = {"", "ai.onnx"}


class OnnxModule(nn.Module):
    """The nodes of a graph in their order; constants are buffers, float ones parameters.

    A graph whose batch is fixed is asked as often as it takes. One that takes bytes takes [0, 1]
    here, rounded to steps of 1/255, and the slope goes straight through. Of several outputs the
    scores count; a softmax or sigmoid at the end is left out, so that logits come out.

    Raises:
        Unconvertible: if an operator has no counterpart in :mod:`onnx_ops`.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        opset = max(
            (one.version for one in model.opset_import if one.domain in _DOMAINS), default=1
        )
        self.output, _ = ended(graph, answer_of(graph))
        nodes = needed(graph, self.output)
        _require_known(model, nodes)
        constants = {one.name: tensor(one) for one in graph.initializer}
        inputs = [one for one in graph.input if one.name not in constants]
        if len(inputs) != 1 or not graph.output:
            raise Unconvertible(f"{len(inputs)} inputs")
        self.input = inputs[0].name
        kind = inputs[0].type.tensor_type
        self.kind = kind.elem_type
        self.bytes = self.kind == onnx.TensorProto.UINT8
        first = kind.shape.dim[:1]
        self.fixed = first[0].dim_value if first else 0
        self.names = {name: f"constant{number}" for number, name in enumerate(constants)}
        for name, value in constants.items():
            if value.is_floating_point() and value.ndim:
                self.register_parameter(self.names[name], nn.Parameter(value))
            else:
                self.register_buffer(self.names[name], value)
        self.nodes = [_node(one, opset) for one in nodes]
        self.last = _last_uses(self.nodes, self.output)

    def forward(self, x: Tensor) -> Tensor:
        """The first output ``(batch, ...)`` of inputs ``(batch, ...)``."""
        if self.fixed:
            return by_fixed(self._once, x, self.fixed)
        if len(x) == 0:  # shapes that are reckoned from the batch have no answer to none
            return self._once(x.new_zeros(1, *x.shape[1:]))[:0]
        return self._once(x)

    def _once(self, x: Tensor) -> Tensor:
        if self.bytes:
            x = rounded(x * 255)
        known: dict[str, Any] = {name: getattr(self, own) for name, own in self.names.items()}
        known[self.input], known[""] = x, None
        for number, node in enumerate(self.nodes):
            outputs = run(node, [known[name] for name in node.inputs])
            known.update(zip(node.outputs, outputs, strict=False))
            for name in self.last[number]:
                del known[name]
        out: Tensor = known[self.output]
        return out


@dataclass(frozen=True)
class ConvertedModel:
    """A model that was ONNX: the same answers, with gradients."""

    module: nn.Module
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def access(self) -> Access:
        """Everything may be asked of it."""
        return Access.GRADIENTS

    def __call__(self, x: Tensor, /) -> Tensor:
        """Outputs ``(batch, ...)`` of inputs ``(batch, ...)``."""
        out: Tensor = self.module(x)
        return out


def convert(data: bytes) -> OnnxModule:
    """The graph of a checked file as a module that gives the same answers.

    It is run beside onnxruntime on three inputs drawn in [0, 1]; a difference of more than a
    thousandth of the largest answer refuses it.

    Raises:
        Unconvertible: if an operator has no counterpart, or the answers differ.
    """
    model = onnx.load_model_from_string(data)
    try:
        if model.functions:  # as some exporters write what is several operators
            model = onnx.inliner.inline_local_functions(model)
        module = OnnxModule(model).eval()
        x = _inputs(model)
        with torch.no_grad():
            found = module(torch.from_numpy(x)).numpy()
        expected = _answers(model, module, x)
    except Unconvertible:
        raise
    except Exception as error:  # an odd graph fails anywhere; scores are left then
        text = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise Unconvertible(text) from None
    largest = max(1.0, float(np.abs(expected).max(initial=0.0)))
    same = found.shape == expected.shape
    if not same or not np.abs(found - expected).max(initial=0.0) <= _CLOSE * largest:
        raise Unconvertible("the converted graph gives other answers than onnxruntime")
    return module


def _inputs(model: onnx.ModelProto) -> NDArray[np.float32]:
    names = {one.name for one in model.graph.initializer}
    (only,) = (one for one in model.graph.input if one.name not in names)
    sizes = [one.dim_value or 1 for one in only.type.tensor_type.shape.dim]
    return np.random.default_rng(0).random((3, *sizes[1:]), dtype=np.float32)


def _answers(
    model: onnx.ModelProto, module: OnnxModule, x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What onnxruntime answers, at the place in the graph where the module ends."""
    if module.output not in {one.name for one in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=module.output))
    if module.bytes:
        x = np.rint(x * np.float32(255))
    kind = onnx.helper.tensor_dtype_to_np_dtype(module.kind)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    data = model.SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    asked = x.astype(kind)
    size = module.fixed or len(asked)
    missing = -len(asked) % size
    asked = np.concatenate([asked, np.zeros((missing, *asked.shape[1:]), kind)])
    parts = [asked[at : at + size] for at in range(0, len(asked), size)]
    found = [session.run([module.output], {module.input: part})[0] for part in parts]
    return np.concatenate(found)[: len(x)]


def _require_known(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    if len(nodes) > _MAX_NODES or model.functions:
        raise Unconvertible("functions of its own" if model.functions else "too many nodes")
    strange = {one.op_type for one in nodes if one.op_type not in OPERATORS}
    for one in nodes:
        if one.domain not in ({DOMAIN} if one.op_type in TABLES else _DOMAINS):
            strange.add(one.op_type)
    if strange:
        raise Unconvertible(f"no counterpart of {', '.join(sorted(strange)[:5])}")
    if any(one.HasField("g") or one.graphs for node in nodes for one in node.attribute):
        raise Unconvertible("graphs within the graph")


def _node(proto: onnx.NodeProto, opset: int) -> Node:
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in proto.attribute}
    return Node(proto.op_type, tuple(proto.input), tuple(proto.output), opset, attributes)


def _last_uses(nodes: list[Node], output: str) -> list[list[str]]:
    """What is not read after each node, and so need not be kept."""
    seen, last = {output, ""}, []
    made = {name for node in nodes for name in node.outputs}
    for node in reversed(nodes):
        names = dict.fromkeys((*node.inputs, *node.outputs))
        last.append([name for name in names if name in made and name not in seen])
        seen.update(names)
    return list(reversed(last))
