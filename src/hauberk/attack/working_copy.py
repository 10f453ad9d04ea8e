"""A copy of a module that is quicker to ask: batch-norm folded, channels last, bfloat16."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node, Tracer
from torch.nn.functional import conv2d, fold, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

_LIGHT = 5_000_000  # operations; a network of two convolutions for 28 × 28 pixels has a tenth


class WorkingCopy:
    """A module's answers, nearly: float32 out; bfloat16 inside, or float32 without ``half``.

    Convolutions take the batch-norm that follows them into their weights, where the module can be
    traced; otherwise it stays as it is. ``light`` is for short passes: float32 in the module's own
    order, with slopes of convolutions by matrix products. Nothing of the original is touched.
    """

    def __init__(self, module: nn.Module, *, half: bool = True, light: bool = False) -> None:
        self.half, self._light = half and not light, light
        twin = _finely_ended(_folded(copy.deepcopy(module).eval(), laid=not light, led=self.half))
        for part in twin.modules():
            plain = type(part) is nn.Conv2d and part.groups == 1 and part.padding_mode == "zeros"
            if plain and (light or part.in_channels == 1):
                part.__class__ = _SlimConv
        for part in twin.modules() if not light else ():
            # Those that autocast would cast anew at every call.
            if (
                self.half
                and isinstance(part, nn.Conv2d | nn.Linear)
                and not isinstance(part, _FineLinear)
            ):
                part.to(torch.bfloat16)
            if isinstance(part, nn.Conv2d):
                part.weight.data = _channels_last(part.weight.data)
        self._module = twin.requires_grad_(requires_grad=False)

    def __call__(self, points: Tensor) -> Tensor:
        """Outputs ``(batch, ...)`` float32 of ``points`` ``(batch, ...)``."""
        if points.ndim == 4 and not self._light:
            points = points.contiguous(memory_format=torch.channels_last)
        with torch.autocast(points.device.type, dtype=torch.bfloat16, enabled=self.half):
            out: Tensor = self._module(points)
        return out.float()


def _channels_last(weight: Tensor) -> Tensor:
    """The weight in that order, also where one channel leaves it open which order it is."""
    weight = weight.contiguous(memory_format=torch.channels_last)
    channels, height, width = weight.shape[1:]
    if channels > 1:
        return weight
    return weight.as_strided(weight.shape, (height * width, 1, width, 1))


class _FineLinear(nn.Linear):
    """A linear layer that stays in float32.

    Rounded logits have steps, on which an attack that only compares scores gets stuck.
    """

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class _SlimConv(nn.Conv2d):
    """A convolution of few channels, whose slope the usual kernels are slow at."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or isinstance(self.padding, str):
            return super().forward(x)
        shape = (self.stride, self.padding, self.dilation)
        out: Tensor = _Slim.apply(x, self.weight, self.bias, *shape)  # type: ignore[no-untyped-call]
        return out


class _Slim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *shape: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.shape = x.shape[2:], shape
        return conv2d(x, weight, bias, *shape)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        stride, padding, dilation = ctx.shape
        columns = weight.flatten(1).t() @ slope.flatten(2)
        back = fold(columns.float(), ctx.size, weight.shape[2:], dilation, padding, stride)
        return back, None, None, None, None, None


def working_copy(
    module: nn.Module, *, half: bool = True, light: bool = False
) -> WorkingCopy | None:
    """A working copy, or None where it would gain nothing or cannot be made."""
    first = next(module.parameters(), None)
    if first is None or first.dtype != torch.float32:
        return None
    kind = first.device.type
    if kind != "cpu" if light else not has_bfloat16(kind):
        return None
    try:
        return WorkingCopy(module, half=half, light=light)
    except (RuntimeError, TypeError, ValueError):
        return None  # some modules cannot be copied; the original serves as well


def is_light(module: nn.Module, sample: Tensor) -> bool:
    """Whether a forward pass of ``sample`` ``(1, ...)`` is so short that converting outweighs it.

    Counted, not timed: the same figure must come out of a busy machine.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(sample.clone())
    return int(counter.get_total_flops()) < _LIGHT * len(sample)


def has_bfloat16(device: str) -> bool:
    """Whether that type of device has units for bfloat16; elsewhere it is only emulated."""
    if device == "cpu":
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return device == "cuda" and bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _finely_ended(module: nn.Module) -> nn.Module:
    """The module with its last linear layer in float32."""
    last = [part for part in module.modules() if type(part) is nn.Linear][-1:]
    for part in last:
        part.__class__ = _FineLinear
    return module


def _folded(module: nn.Module, *, laid: bool, led: bool) -> nn.Module:
    """The module with each batch-norm that only follows one convolution folded into it.

    ``laid`` keeps the slopes in channels-last order; ``led`` is for a module asked for slopes.
    """
    try:
        graph = Tracer().trace(module)
    except Exception:  # control flow that depends on data raises anything
        return module
    parts = dict(module.named_modules())
    calls = [node.target for node in graph.nodes if node.op == "call_module"]
    for node in list(graph.nodes):
        norm = parts.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
            continue
        before = node.args[0]
        conv = parts.get(str(before.target)) if before.op == "call_module" else None
        once = calls.count(before.target) == 1 and calls.count(node.target) == 1
        if not isinstance(conv, nn.Conv2d) or len(before.users) > 1 or not once:
            continue
        fused = fuse_conv_bn_eval(conv, norm)
        parent, _, name = str(before.target).rpartition(".")
        setattr(parts[parent], name, fused)
        parts[str(before.target)] = fused
        node.replace_all_uses_with(before)
        graph.erase_node(node)
    if led:
        _pooled_first(graph, parts)
    _in_place(graph, parts)
    for node in list(graph.nodes) if laid else ():
        if node.op == "call_function" and node.target is operator.getitem:
            with graph.inserting_before(node):
                node.replace_input_with(node.args[0], graph.call_function(_laid, (node.args[0],)))
    return GraphModule(module, graph)


def _pooled_first(graph: Graph, parts: dict[str, nn.Module]) -> None:
    """Take the largest of several and rectify that, rather than rectify them all.

    Their slopes are quicker so; answers alone are slower, as fewer of them are equal.
    """
    for node in list(graph.nodes):
        pool = parts.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(pool, nn.MaxPool2d) or pool.return_indices:
            continue
        before = node.args[0]
        if _rectifies(before, parts) and len(before.users) == 1:
            node.replace_all_uses_with(before)
            node.replace_input_with(before, before.all_input_nodes[0])
            before.replace_input_with(before.all_input_nodes[0], node)
            node.append(before)


def _rectifies(node: Node, parts: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(parts[str(node.target)], nn.ReLU)
    return node.op == "call_function" and node.target in (torch.relu, relu)


def _in_place(graph: Graph, parts: dict[str, nn.Module]) -> None:
    """Rectify in place what nothing else reads: the outputs of convolutions, layers and sums."""
    for node in graph.nodes:
        if not _rectifies(node, parts):
            continue
        (before,) = node.all_input_nodes
        layer = before.op == "call_module" and isinstance(
            parts[str(before.target)], nn.Conv2d | nn.Linear
        )
        pooled = before.op == "call_module" and isinstance(parts[str(before.target)], nn.MaxPool2d)
        added = before.op == "call_function" and before.target in (operator.add, torch.add)
        if len(before.users) == 1 and (layer or pooled or added):
            node.op, node.target = "call_function", torch.relu_
            node.args, node.kwargs = (before,), {}


class _Laid(torch.autograd.Function):
    """The same; the slope of a part is spread over the whole in another order, and put right."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_: Any, slope: Tensor) -> Tensor:
        return slope.contiguous(memory_format=torch.channels_last) if slope.ndim == 4 else slope


def _laid(x: Any) -> Any:
    # Shapes and lists of tensors have parts too.
    return _Laid.apply(x) if isinstance(x, Tensor) else x  # type: ignore[no-untyped-call]
