"""Interval bounds: between which values every step of a network stays, for inputs in a box.

Gowal et al. (2018), On the effectiveness of interval bound propagation, section 3. The network is
traced into steps; a step that is affine moves the middle of a box and widens it by its absolute
weights, a monotone one moves the ends.
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.fx import Tracer
from torch.nn import functional

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
_AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_SHAPES = (nn.Flatten, nn.Identity, nn.Dropout, nn.Unflatten)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_MONOTONE = (nn.ReLU, nn.MaxPool2d, nn.Sigmoid, nn.Tanh)
_SHIFTS = {operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.sub}
_RESHAPING = {"flatten", "view", "reshape", "mean", "contiguous", "size"}


@dataclass(frozen=True)
class Step:
    """One step of a network: what it does to the outcomes of the steps before it.

    ``kind`` is ``affine``, ``relu`` or ``monotone``; ``widen`` maps the radii of a box of an
    affine step's inputs to the radius of its outcome.
    """

    name: str
    kind: str
    do: Callable[..., Tensor]
    inputs: tuple[str, ...]
    widen: Callable[..., Tensor]


@dataclass(frozen=True)
class Steps:
    """A network as steps in order; the first input is called ``input``."""

    steps: tuple[Step, ...]
    output: str


def steps_of(module: nn.Module) -> Steps:
    """The steps of a network in evaluation mode and float64; nothing of the original is touched.

    Bounds are those of exact arithmetic, but for the rounding of float64.

    Raises:
        UserError: if a step is none for which bounds are known.
    """
    module = copy.deepcopy(module).eval().double().requires_grad_(requires_grad=False)
    try:
        graph = Tracer().trace(module)
    except Exception as error:  # control flow that depends on data raises anything
        raise UserError(
            f"the network cannot be traced: {error}", hint="certify by smoothing instead"
        ) from None
    parts = dict(module.named_modules())
    constants: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    found: list[Step] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            names[node.name] = "input"
        elif node.op == "get_attr":
            constants[node.name] = operator.attrgetter(node.target)(module)
        elif node.op == "output":
            return Steps(tuple(found), names[node.args[0].name])
        else:
            found.append(_step(node, parts, names, constants))
            names[node.name] = node.name
    raise UserError("the network has no output")


def intervals(steps: Steps, low: Tensor, high: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Bounds ``(batch, ...)`` of every step for inputs between ``low`` and ``high``."""
    found = {"input": (low, high)}
    with torch.no_grad():
        for step in steps.steps:
            ends = [found[name] for name in step.inputs]
            if step.kind == "affine":
                middle = step.do(*((a + b) / 2 for a, b in ends))
                radius = step.widen(*((b - a) / 2 for a, b in ends))
                found[step.name] = (middle - radius, middle + radius)
            else:
                found[step.name] = (step.do(ends[0][0]), step.do(ends[0][1]))
    return found


def _step(
    node: Any, parts: dict[str, nn.Module], names: dict[str, str], constants: dict[str, Tensor]
) -> Step:
    inputs = tuple(
        names[one.name] for one in node.args if hasattr(one, "name") and one.name in names
    )
    if node.op == "call_module":
        kind, do, widen = _module(parts[node.target])
    elif node.op == "call_function" and node.target in _SHIFTS:
        kind, do, widen = _shift(node, names, constants)
    elif node.op == "call_function" and node.target in {torch.relu, functional.relu}:
        kind, do, widen = "relu", torch.relu, torch.relu
    elif node.op == "call_function" and node.target is torch.flatten:
        kind, do, widen = _reshaped(torch.flatten, node)
    elif node.op == "call_method" and node.target in _RESHAPING - {"size"}:
        method = str(node.target)
        kind, do, widen = _reshaped(
            lambda x, *rest, **more: getattr(x, method)(*rest, **more), node
        )
    elif node.op == "call_method" and node.target == "relu":
        kind, do, widen = "relu", torch.relu, torch.relu
    else:
        raise _unknown(f"{node.op} {node.target}")
    return Step(node.name, kind, do, inputs, widen)


def _module(part: nn.Module) -> tuple[str, Callable[..., Tensor], Callable[..., Tensor]]:
    if isinstance(part, nn.ReLU):
        return "relu", torch.relu, torch.relu
    if isinstance(part, _MONOTONE):
        return "monotone", part, part
    if isinstance(part, (*_AVERAGES, *_SHAPES)):
        return "affine", part, part
    if isinstance(part, _WEIGHTED):
        size = copy.deepcopy(part)
        size.weight.data = size.weight.data.abs()
        if size.bias is not None:
            size.bias.data.zero_()
        return "affine", part, size
    if isinstance(part, _NORMS) and part.running_mean is not None:
        scale = copy.deepcopy(part)
        scale.running_mean = torch.zeros_like(part.running_mean)
        if part.affine:
            scale.weight.data = scale.weight.data.abs()
            scale.bias.data = torch.zeros_like(scale.bias.data)
        return "affine", part, scale
    raise _unknown(type(part).__name__)


def _shift(
    node: Any, names: dict[str, str], constants: dict[str, Tensor]
) -> tuple[str, Callable[..., Tensor], Callable[..., Tensor]]:
    """A sum or difference of two steps, or of a step and a constant; or one scaled by one."""
    one, other = node.args
    function = node.target
    if all(hasattr(x, "name") and x.name in names for x in (one, other)):
        if function in {operator.mul, operator.truediv}:
            raise _unknown("a product of two steps")
        return "affine", function, torch.add
    if not (hasattr(one, "name") and one.name in names):
        raise _unknown("a constant before a step")
    value = constants[other.name] if hasattr(other, "name") else other
    if function in {operator.mul, operator.truediv}:
        return "affine", lambda x: function(x, value), lambda r: function(r, abs(value))
    return "affine", lambda x: function(x, value), lambda r: r


def _reshaped(
    function: Callable[..., Tensor], node: Any
) -> tuple[str, Callable[..., Tensor], Callable[..., Tensor]]:
    rest, more = node.args[1:], dict(node.kwargs)
    if any(hasattr(one, "op") for one in rest):
        raise _unknown(f"{node.target} by a size that is worked out")

    def do(x: Tensor) -> Tensor:
        return function(x, *rest, **more)

    return "affine", do, do


def _unknown(what: str) -> UserError:
    return UserError(f"no bounds are known through {what}", hint="certify by smoothing instead")
