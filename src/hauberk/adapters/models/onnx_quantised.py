"""ONNX operators of quantised graphs: the same steps, with a slope that goes straight through.

Rounding has no slope anywhere. What is rounded passes the slope of what went in, as training with
quantisation does (Bengio et al. 2013); what is cut off at the ends of the range passes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hauberk.adapters.models.onnx_node import Node, Unconvertible

if TYPE_CHECKING:
    from collections.abc import Callable


def rounded(x: Tensor) -> Tensor:
    """The nearest whole numbers, with the slope of ``x``."""
    return x + (x.round() - x).detach()


def _spread(values: Tensor, axis: int, rank: int) -> Tensor:
    """One value, or one for each place of an axis, against ``rank`` axes."""
    if values.numel() == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis % rank] = len(values)
    return values.reshape(shape)


def _parts(
    node: Node, x: Tensor, scale: Tensor, zero: Tensor | None
) -> tuple[Tensor, Tensor, torch.dtype]:
    if node.get("block_size", 0) or scale.ndim > 1:
        raise Unconvertible("a scale for each block")
    kind = torch.uint8 if zero is None else zero.dtype
    if kind not in {torch.uint8, torch.int8}:
        raise Unconvertible(f"quantised to {kind}")
    shift = scale.new_zeros(1) if zero is None else zero.float()
    axis = node.get("axis", 1)
    return _spread(scale.float(), axis, x.ndim), _spread(shift, axis, x.ndim), kind


def _quantise(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    size, shift, kind = _parts(node, x, scale, zero)
    ends = torch.iinfo(kind)
    return (rounded(x / size) + shift).clamp(ends.min, ends.max)


def _back(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    if x.dtype == torch.int32:  # biases, in steps of the sum
        if scale.ndim > 1 or (zero is not None and bool(zero.any())):
            raise Unconvertible("a bias of several scales")
        return x.float() * _spread(scale, node.get("axis", 1), x.ndim)
    size, shift, _ = _parts(node, x, scale, zero)
    return (x.float() - shift) * size


QUANTISED: dict[str, Callable[..., Any]] = {
    "DequantizeLinear": _back,
    "QuantizeLinear": _quantise,
    "Round": lambda _node, x: rounded(x),
}
