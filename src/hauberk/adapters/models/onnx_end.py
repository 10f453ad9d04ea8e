"""Where a graph's answer is: which output holds the scores, and what at its end only rescales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from hauberk.adapters.models.onnx_node import Unconvertible

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("logits", "scores", "probabilities")
_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16}
# What hands a value on and leaves it as it is.
_PASSING = {"Identity", "Dropout"}


def answer_of(graph: onnx.GraphProto) -> str:
    """The output with the scores: by its name, or the only one of floats.

    A list of maps, as converters write the probabilities of classes, stands for what it lists.

    Raises:
        Unconvertible: if there is none, or more than one that could be meant.
    """
    made = _makers(graph)
    named: dict[str, str] = {}
    for one in graph.output:
        maker = made.get(one.name)
        if maker is not None and maker.op_type == "ZipMap":
            named[one.name] = maker.input[0]
        elif one.type.tensor_type.elem_type in _FLOATS:
            named[one.name] = one.name
    for name in _NAMES:
        if name in named:
            return named[name]
    if len(named) != 1:
        raise Unconvertible(f"{len(named)} outputs of floats, none named {', '.join(_NAMES)}")
    return next(iter(named.values()))


def ended(graph: onnx.GraphProto, answer: str) -> tuple[str, str]:
    """The value before a softmax or a sigmoid that ends the graph, and which of them it is.

    That value has the same order. Where a model is sure its probabilities are flat, and an attack
    finds no slope on them. Without such an end the answer itself, and nothing.
    """
    made, at = _makers(graph), answer
    while (maker := made.get(at)) is not None and maker.op_type in _PASSING:
        at = maker.input[0]
    if maker is None or maker.op_type not in {"Softmax", "Sigmoid"}:
        return answer, ""
    if maker.op_type == "Softmax" and not _over_last(graph, maker):
        return answer, ""
    return maker.input[0], str(maker.op_type)


def needed(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """The nodes that the output depends on, in their order."""
    made = _makers(graph)
    done: set[int] = set()
    found: list[onnx.NodeProto] = []
    waiting = [made[output]] if output in made else []
    # Some converters leave nodes behind those that read them: what a node needs comes before it.
    while waiting:
        node = waiting[-1]
        needs = [made[name] for name in node.input if name in made and id(made[name]) not in done]
        if id(node) in done or not needs:
            waiting.pop()
            if id(node) not in done:
                done.add(id(node))
                found.append(node)
            continue
        if len(waiting) > len(graph.node):
            raise Unconvertible("the graph goes round in a circle")
        waiting.append(needs[0])
    return found


def _makers(graph: onnx.GraphProto) -> Mapping[str, onnx.NodeProto]:
    return {name: node for node in graph.node for name in node.output}


def _over_last(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether a softmax runs over the classes of rows ``(batch, classes)``."""
    axis = next((one.i for one in node.attribute if one.name == "axis"), None)
    shapes = {one.name: one.type.tensor_type.shape.dim for one in graph.output}
    rows = len(shapes.get(node.output[0], ())) == 2
    # Left out it meant the second axis once, and means the last one now.
    return axis == -1 or (rows and axis in {None, 1})
