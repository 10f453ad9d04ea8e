"""ONNX operators that few networks of images hold: older, newer, and from other frameworks."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from hauberk.adapters.models.onnx_node import Node, Unconvertible, ints

if TYPE_CHECKING:
    from collections.abc import Callable


def _plain(call: Callable[..., Any]) -> Callable[..., Any]:
    """An operator without attributes."""
    return lambda _node, *values: call(*values)


def _group_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups, channels = int(node.get("num_groups")), x.shape[1]
    if len(scale) != channels:  # up to version 20 there was one value for each group
        scale, bias = (one.repeat_interleave(channels // groups) for one in (scale, bias))
    return functional.group_norm(x, groups, scale, bias, node.get("epsilon", 1e-5))


def _root_mean_square_norm(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    shape = list(x.shape[node.get("axis", -1) % x.ndim :])
    return functional.rms_norm(x, shape, scale, node.get("epsilon", 1e-5))


def _local_response_norm(node: Node, x: Tensor) -> Tensor:
    # torch divides by the size as ONNX does, and takes the same window where the size is odd.
    size = int(node.get("size"))
    if size % 2 == 0:
        raise Unconvertible("a response norm over an even number of channels")
    return functional.local_response_norm(
        x, size, node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    )


def _unit_norm(node: Node, x: Tensor) -> Tensor:
    axis, order = node.get("axis", -1), node.get("p", 2)
    length = x.norm(p=order, dim=axis, keepdim=True)
    out: Tensor = x / length.where(length > 0, torch.ones_like(length))
    return out


def _conv_transpose(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = x.ndim - 2
    pads = list(node.get("pads") or [0] * 2 * rank)
    simple = node.get("auto_pad", "NOTSET") == "NOTSET" and not node.get("output_shape")
    if rank not in {1, 2} or not simple or pads[:rank] != pads[rank:]:
        raise Unconvertible("a transposed convolution of an uneven padding")
    call = functional.conv_transpose1d if rank == 1 else functional.conv_transpose2d
    ones = [1] * rank
    return call(
        x,
        weight,
        bias,
        stride=node.get("strides") or ones,
        padding=pads[:rank],
        output_padding=node.get("output_padding") or [0] * rank,
        groups=node.get("group", 1),
        dilation=node.get("dilations") or ones,
    )


def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    size = int(node.get("blocksize"))
    if node.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, size)
    parts = x.reshape(n, size, size, channels // size**2, height, width)
    parts = parts.permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, channels // size**2, height * size, width * size)


def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    size = int(node.get("blocksize"))
    parts = x.reshape(n, channels, height // size, size, width // size, size)
    parts = parts.permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, channels * size**2, height // size, width // size)


def _one_axis(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A reduction whose axes are an attribute, or an input since version 18."""

    def reduce(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        given = axes if axes is not None else node.get("axes")
        if given is None and node.get("noop_with_empty_axes", 0):
            return x
        chosen = list(range(x.ndim)) if given is None else ints(given)
        return call(x, dim=chosen, keepdim=bool(node.get("keepdims", 1)))

    return reduce


def _mod(node: Node, a: Tensor, b: Tensor) -> Tensor:
    return torch.fmod(a, b) if node.get("fmod", 0) else torch.remainder(a, b)


def _arg_min(node: Node, x: Tensor) -> Tensor:
    if node.get("select_last_index", 0):
        raise Unconvertible("the last of several least")
    return x.argmin(node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))


def _top_k(node: Node, x: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    many, largest = int(count.reshape(()).item()), bool(node.get("largest", 1))
    found = x.topk(many, dim=node.get("axis", -1), largest=largest)
    return found.values, found.indices


def _gather_nd(node: Node, x: Tensor, places: Tensor) -> Tensor:
    if node.get("batch_dims", 0):
        raise Unconvertible("gathering apart for each of a batch")
    return x[tuple(places.long().unbind(-1))]


def _scatter_nd(node: Node, x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    if node.get("reduction", "none") != "none":
        raise Unconvertible("a scatter that adds up")
    return x.index_put(tuple(places.long().unbind(-1)), values)


def _gather_elements(node: Node, x: Tensor, places: Tensor) -> Tensor:
    axis = node.get("axis", 0)
    places = torch.where(places < 0, places + x.shape[axis], places).long()
    return x.gather(axis, places)


def _triangle(node: Node, x: Tensor, k: Tensor | None = None) -> Tensor:
    away = 0 if k is None else int(k.reshape(()).item())
    return x.triu(away) if node.get("upper", 1) else x.tril(away)


def _cumulated(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    if node.get("exclusive", 0) or node.get("reverse", 0):
        raise Unconvertible("a running sum from the end or without itself")
    return x.cumsum(int(axis.reshape(()).item()))


def _attention(node: Node, q: Tensor, k: Tensor, v: Tensor, *more: Any) -> Tensor:
    """Scaled dot products; of the operator's many forms the one of vision transformers."""
    odd = [name for name in ("softcap", "qk_matmul_output_mode") if node.get(name, 0)]
    if odd or q.ndim != 4 or len(node.outputs) > 1 or any(one is not None for one in more[1:]):
        raise Unconvertible("attention of another form")
    scale = node.get("scale") or 1 / sqrt(q.shape[-1])
    return functional.scaled_dot_product_attention(
        q, k, v, more[0] if more else None, is_causal=bool(node.get("is_causal", 0)), scale=scale
    )


def _mean(_node: Node, *values: Tensor) -> Tensor:
    return sum(values[1:], values[0]) / len(values)


RARE: dict[str, Callable[..., Any]] = {
    "ArgMin": _arg_min,
    "Atan": _plain(torch.atan),
    "Attention": _attention,
    "CastLike": _plain(lambda x, like: x.to(like.dtype)),
    "Celu": lambda node, x: functional.celu(x, node.get("alpha", 1.0)),
    "ConvTranspose": _conv_transpose,
    "CumSum": _cumulated,
    "DepthToSpace": _depth_to_space,
    "Einsum": lambda node, *values: torch.einsum(node.get("equation"), *values),
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "GreaterOrEqual": _plain(torch.ge),
    "GroupNormalization": _group_norm,
    "LRN": _local_response_norm,
    "LessOrEqual": _plain(torch.le),
    "LpNormalization": _unit_norm,
    "Mean": _mean,
    "Mish": _plain(functional.mish),
    "Mod": _mod,
    "Or": _plain(torch.logical_or),
    "RMSNormalization": _root_mean_square_norm,
    "Range": _plain(torch.arange),
    "ReduceL1": _one_axis(lambda x, dim, keepdim: x.abs().sum(dim, keepdim=keepdim)),
    "ReduceL2": _one_axis(lambda x, dim, keepdim: x.norm(p=2, dim=dim, keepdim=keepdim)),
    "ReduceLogSumExp": _one_axis(torch.logsumexp),
    "ReduceSumSquare": _one_axis(lambda x, dim, keepdim: x.square().sum(dim, keepdim=keepdim)),
    "ScatterND": _scatter_nd,
    "Sign": _plain(torch.sign),
    "Size": _plain(lambda x: torch.tensor(x.numel(), dtype=torch.int64)),
    "Softsign": _plain(functional.softsign),
    "SpaceToDepth": _space_to_depth,
    "Swish": lambda node, x: x * torch.sigmoid(node.get("alpha", 1.0) * x),
    "ThresholdedRelu": lambda node, x: x.where(x > node.get("alpha", 1.0), torch.zeros_like(x)),
    "Tile": _plain(lambda x, many: x.repeat(ints(many))),
    "TopK": _top_k,
    "Trilu": _triangle,
}
