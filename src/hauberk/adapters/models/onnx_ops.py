"""ONNX operators as torch functions; what is not here cannot be converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hauberk.adapters.models.onnx_node import TYPES, Node, Unconvertible, Values, ints, tensor
from hauberk.adapters.models.onnx_quantised import QUANTISED
from hauberk.adapters.models.onnx_rare_ops import RARE
from hauberk.adapters.models.onnx_tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def run(node: Node, values: Values) -> tuple[Any, ...]:
    """The outputs of an operation on its inputs; an input left out is None.

    Raises:
        Unconvertible: if this use of the operator has no counterpart.
    """
    found = OPERATORS[node.kind](node, *values)
    return found if isinstance(found, tuple) else (found,)


def _axes(node: Node, given: Any) -> list[int] | None:
    value = given if given is not None else node.get("axes")
    return None if value is None else ints(value)


def _padded(node: Node, x: Tensor, value: float, kernel: Sequence[int]) -> tuple[Tensor, list[int]]:
    """The input with the padding that torch's own argument cannot say, and what it can."""
    rank = x.ndim - 2
    pads = list(node.get("pads") or [0] * 2 * rank)
    auto = node.get("auto_pad", "NOTSET")
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        strides = node.get("strides") or [1] * rank
        if any(one != 1 for one in node.get("dilations") or []):
            raise Unconvertible("SAME padding of a dilated kernel")
        pads = [0] * 2 * rank
        for axis in range(rank):
            size = x.shape[2 + axis]
            out = -(-size // strides[axis])
            total = max(0, (out - 1) * strides[axis] + kernel[axis] - size)
            small, large = total // 2, total - total // 2
            first = small if auto == "SAME_UPPER" else large
            pads[axis], pads[rank + axis] = first, total - first
    elif auto == "VALID":
        pads = [0] * 2 * rank
    if pads[:rank] == pads[rank:]:
        return x, pads[:rank]
    order = [side for axis in reversed(range(rank)) for side in (pads[axis], pads[rank + axis])]
    return functional.pad(x, order, value=value), [0] * rank


def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = x.ndim - 2
    if rank not in {1, 2, 3}:
        raise Unconvertible(f"a convolution over {rank} axes")
    x, padding = _padded(node, x, 0.0, weight.shape[2:])
    call = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    ones = [1] * rank
    return call(
        x,
        weight,
        bias,
        stride=node.get("strides") or ones,
        padding=padding,
        dilation=node.get("dilations") or ones,
        groups=node.get("group", 1),
    )


def _max_pool(node: Node, x: Tensor) -> Tensor:
    if x.ndim != 4 or node.get("storage_order", 0) or len(node.outputs) > 1:
        raise Unconvertible("a pooling other than over images")
    x, padding = _padded(node, x, float("-inf"), node.get("kernel_shape"))
    return functional.max_pool2d(
        x,
        node.get("kernel_shape"),
        stride=node.get("strides") or [1, 1],
        padding=padding,
        dilation=node.get("dilations") or [1, 1],
        ceil_mode=bool(node.get("ceil_mode", 0)),
    )


def _average_pool(node: Node, x: Tensor) -> Tensor:
    counted = bool(node.get("count_include_pad", 0))
    if x.ndim != 4 or any(one != 1 for one in node.get("dilations") or []):
        raise Unconvertible("a pooling other than over images")
    padded, padding = _padded(node, x, 0.0, node.get("kernel_shape"))
    if padded is not x and not counted:
        raise Unconvertible("an uneven padding that does not count")
    return functional.avg_pool2d(
        padded,
        node.get("kernel_shape"),
        stride=node.get("strides") or [1, 1],
        padding=padding,
        ceil_mode=bool(node.get("ceil_mode", 0)),
        count_include_pad=counted,
    )


def _batch_norm(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    if node.get("training_mode", 0):
        raise Unconvertible("a batch-norm that learns")
    eps = node.get("epsilon", 1e-5)
    still = mean.detach(), variance.detach()  # torch takes no slope of what was counted
    return functional.batch_norm(x, *still, scale, bias, training=False, eps=eps)


def _layer_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = node.get("axis", -1) % x.ndim
    shape = list(x.shape[axis:])
    return functional.layer_norm(x, shape, scale, bias, node.get("epsilon", 1e-5))


def _instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=node.get("epsilon", 1e-5))


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.T if node.get("transA", 0) else a
    b = b.T if node.get("transB", 0) else b
    out: Tensor = node.get("alpha", 1.0) * (a @ b)
    return out if c is None else out + node.get("beta", 1.0) * c


def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    sizes = ints(shape)
    if not node.get("allowzero", 0):
        sizes = [x.shape[place] if one == 0 else one for place, one in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    rows = int(np.prod(x.shape[:axis]))
    return x.reshape(rows, -1)


def _squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(node, axes)
    if chosen is None:
        raise Unconvertible("a squeeze that leaves open what it takes out")
    return x.squeeze(tuple(chosen))


def _unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(node, axes) or []
    rank = x.ndim + len(chosen)
    for axis in sorted(one % rank for one in chosen):
        x = x.unsqueeze(axis)
    return x


def _slice(node: Node, x: Tensor, *given: Any) -> Tensor:
    if node.opset < 10:
        starts, ends = node.get("starts"), node.get("ends")
        axes, steps = node.get("axes"), None
    else:
        starts, ends, axes, steps = (*given, None, None)[:4]
    first, last = ints(starts), ints(ends)
    where = ints(axes) if axes is not None else list(range(len(first)))
    stride = ints(steps) if steps is not None else [1] * len(first)
    for axis, start, end, step in zip(where, first, last, stride, strict=True):
        if step > 0:
            cut: list[Any] = [slice(None)] * x.ndim
            cut[axis % x.ndim] = slice(*slice(start, end, step).indices(x.shape[axis]))
            x = x[tuple(cut)]
        else:
            places = list(range(x.shape[axis]))[
                slice(start, end if end > -(1 << 40) else None, step)
            ]
            x = x.index_select(axis, torch.tensor(places, dtype=torch.long, device=x.device))
    return x


def _split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = node.get("axis", 0)
    given = sizes if sizes is not None else node.get("split")
    if given is None:
        many = len(node.outputs)
        each = -(-x.shape[axis] // many)
        return torch.split(x, each, axis)
    return torch.split(x, ints(given), axis)


def _gather(node: Node, x: Tensor, places: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.ndim
    size = x.shape[axis]
    places = torch.where(places < 0, places + size, places).long()
    taken = x.index_select(axis, places.reshape(-1))
    return taken.reshape((*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]))


def _cast(node: Node, x: Tensor) -> Tensor:
    kind = TYPES.get(node.get("to"))
    if kind is None:
        raise Unconvertible(f"a cast to type {node.get('to')}")
    return x.to(kind)


def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least = node.get("min") if low is None else low.item()
    most = node.get("max") if high is None else high.item()
    return x if least is None and most is None else x.clamp(least, most)


def _pad(node: Node, x: Tensor, pads: Tensor | None = None, *more: Any) -> Tensor:
    sizes = ints(pads if pads is not None else node.get("pads"))
    value = more[0].item() if more and more[0] is not None else node.get("value", 0.0)
    if len(more) > 1 and more[1] is not None:
        raise Unconvertible("a padding of named axes")
    mode = node.get("mode", "constant")
    rank = x.ndim
    order = [side for axis in reversed(range(rank)) for side in (sizes[axis], sizes[rank + axis])]
    if mode == "constant":
        return functional.pad(x, order, value=value)
    if mode in {"reflect", "edge"} and not any(order[4:]) and rank == 4:
        return functional.pad(x, order[:4], mode="reflect" if mode == "reflect" else "replicate")
    raise Unconvertible(f"padding {mode} of {rank} axes")


def _resize(node: Node, x: Tensor, *given: Any) -> Tensor:
    # Before version 11 there were scales alone; since then a region, scales or sizes.
    scales, sizes = (given[0], None) if node.opset < 11 else (*given[1:], None, None)[:2]
    mode = node.get("mode", "nearest")
    place = node.get("coordinate_transformation_mode", "half_pixel")
    if node.opset < 11:
        place = "asymmetric"
    if x.ndim != 4:
        raise Unconvertible("resizing other than of images")
    if sizes is not None and sizes.numel():
        size = ints(sizes)[2:]
    elif scales is not None and scales.numel():
        factors = [float(one) for one in scales.tolist()]
        if factors[:2] != [1.0, 1.0]:
            raise Unconvertible("resizing of channels")
        size = [int(side * one) for side, one in zip(x.shape[2:], factors[2:], strict=True)]
    else:
        raise Unconvertible("resizing to nothing")
    whole = all(new % old == 0 for new, old in zip(size, x.shape[2:], strict=True))
    if mode == "nearest":
        rounding = node.get("nearest_mode", "round_prefer_floor")
        floor = place == "asymmetric" and rounding == "floor"
        # Enlarged by whole numbers every pixel is repeated, whichever way coordinates go.
        if floor or (whole and place in {"half_pixel", "pytorch_half_pixel", "asymmetric"}):
            return functional.interpolate(x, size, mode="nearest")
    if mode == "linear" and place in {"half_pixel", "pytorch_half_pixel", "align_corners"}:
        corners = place == "align_corners"
        return functional.interpolate(x, size, mode="bilinear", align_corners=corners)
    raise Unconvertible(f"resizing {mode} with {place}")


def _softmax(node: Node, x: Tensor, call: Callable[[Tensor, int], Tensor]) -> Tensor:
    if node.opset >= 13:
        return call(x, node.get("axis", -1))
    axis = node.get("axis", 1) % x.ndim
    # Once all axes from this one on were one.
    return call(x.flatten(axis), axis).reshape(x.shape)


def _reduced(call: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def reduce(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = _axes(node, axes)
        if not chosen:
            if node.get("noop_with_empty_axes", 0):
                return x
            chosen = list(range(x.ndim))
        return call(x, chosen, bool(node.get("keepdims", 1)))

    return reduce


def _each(call: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda _node, x: call(x)


def _pairs(call: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def fold(_node: Node, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = call(first, other)
        return first

    return fold


def _divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def _constant(node: Node) -> Tensor:
    if "value" in node.attributes:
        return tensor(node.attributes["value"])
    for name, kind in (("value_float", torch.float32), ("value_int", torch.int64)):
        if name in node.attributes:
            return torch.tensor(node.get(name), dtype=kind)
        if f"{name}s" in node.attributes:
            return torch.tensor(list(node.get(f"{name}s")), dtype=kind)
    raise Unconvertible("a constant of another kind")


def _filled(node: Node, shape: Tensor) -> Tensor:
    value = tensor(node.attributes["value"]) if "value" in node.attributes else torch.zeros(1)
    return value.reshape(()).expand(ints(shape)).clone()


def _expand(_node: Node, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(np.broadcast_shapes(x.shape, tuple(ints(shape))))


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm") or list(reversed(range(x.ndim))))


def _prelu(_node: Node, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def _arg_max(node: Node, x: Tensor) -> Tensor:
    if node.get("select_last_index", 0):
        raise Unconvertible("the last of several largest")
    return x.argmax(node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))


def _power(a: Tensor, b: Tensor) -> Tensor:
    return a ** b.to(a.dtype)


def _many(dims: Sequence[int], call: Callable[..., Tensor], x: Tensor, keep: bool) -> Tensor:  # noqa: FBT001 - as torch's own
    for axis in sorted((one % x.ndim for one in dims), reverse=True):
        x = call(x, axis, keep)
    return x


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": _each(torch.abs),
    "Add": _pairs(torch.add),
    "And": _pairs(torch.logical_and),
    "ArgMax": _arg_max,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Ceil": _each(torch.ceil),
    "Clip": _clip,
    "Concat": lambda node, *parts: torch.cat(parts, node.get("axis")),
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Conv": _conv,
    "Cos": _each(torch.cos),
    "Div": _pairs(_divide),
    "Dropout": lambda _node, x, *_: x,
    "Elu": lambda node, x: functional.elu(x, node.get("alpha", 1.0)),
    "Equal": _pairs(torch.eq),
    "Erf": _each(torch.erf),
    "Exp": _each(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _each(torch.floor),
    "Gather": _gather,
    "Gelu": lambda node, x: functional.gelu(x, approximate=node.get("approximate", "none")),
    "Gemm": _gemm,
    "GlobalAveragePool": _each(lambda x: x.mean(list(range(2, x.ndim)), keepdim=True)),
    "GlobalMaxPool": _each(lambda x: x.amax(list(range(2, x.ndim)), keepdim=True)),
    "Greater": _pairs(torch.gt),
    "HardSigmoid": lambda node, x: (node.get("alpha", 0.2) * x + node.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": _each(lambda x: x * (x / 6 + 0.5).clamp(0, 1)),
    "Identity": lambda _node, x: x,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda node, x: functional.leaky_relu(x, node.get("alpha", 0.01)),
    "Less": _pairs(torch.lt),
    "Log": _each(torch.log),
    "LogSoftmax": lambda node, x: _softmax(node, x, torch.log_softmax),
    "MatMul": _pairs(torch.matmul),
    "Max": _pairs(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _pairs(torch.minimum),
    "Mul": _pairs(torch.mul),
    "Neg": _each(torch.neg),
    "Not": _each(torch.logical_not),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": _pairs(_power),
    "Reciprocal": _each(torch.reciprocal),
    "ReduceMax": _reduced(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMean": _reduced(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceMin": _reduced(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceProd": _reduced(lambda x, axes, keep: _many(axes, torch.prod, x, keep)),
    "ReduceSum": _reduced(lambda x, axes, keep: x.sum(axes, keep)),
    "Relu": _each(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Selu": _each(torch.selu),
    "Shape": lambda node, x: torch.tensor(
        x.shape[node.get("start", 0) : node.get("end")], dtype=torch.int64
    ),
    "Sigmoid": _each(torch.sigmoid),
    "Sin": _each(torch.sin),
    "Slice": _slice,
    "Softmax": lambda node, x: _softmax(node, x, torch.softmax),
    "Softplus": _each(functional.softplus),
    "Split": _split,
    "Sqrt": _each(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _pairs(torch.sub),
    "Sum": _pairs(torch.add),
    "Tanh": _each(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": lambda _node, which, a, b: torch.where(which, a, b),
    **RARE,
    **QUANTISED,
    **TABLES,
}
