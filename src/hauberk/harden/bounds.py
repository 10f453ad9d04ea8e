"""Bounds on what a network can answer over a box of inputs, one layer after the other.

Interval bounds: Gowal et al. 2018. Backward linear bounds: Zhang et al. 2018 (CROWN), here from
the last layer to the input with interval bounds in between, as CROWN-IBP trains (Zhang et al.
2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, linear

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Box = tuple[Tensor, Tensor]

_DROP = (nn.Identity, nn.Dropout)


def layers_of(module: nn.Module) -> list[nn.Module]:
    """The layers of a plain chain, in order.

    Raises:
        UserError: if the module is no chain of layers whose bounds are known.
    """
    if isinstance(module, nn.Sequential):
        return [layer for part in module for layer in layers_of(part)]
    if isinstance(module, _DROP):
        return []
    if isinstance(module, nn.Linear | nn.ReLU | nn.Flatten | nn.MaxPool2d):
        return [module]
    if (
        isinstance(module, nn.Conv2d)
        and (module.padding_mode, module.groups) == ("zeros", 1)
        and not isinstance(module.padding, str)
    ):
        return [module]
    parts = list(module.children())
    if len(parts) == 1:
        return layers_of(parts[0])
    raise UserError(
        f"no bounds are known for {type(module).__name__}",
        where="harden",
        hint="a chain of convolutions, linear layers, ReLU and max pooling has them",
    )


def interval(layers: Sequence[nn.Module], low: Tensor, high: Tensor) -> list[Box]:
    """The box ``(low, high)`` before each layer and after the last."""
    boxes = [(low, high)]
    for layer in layers:
        low, high = boxes[-1]
        if isinstance(layer, nn.Linear | nn.Conv2d):
            middle, radius = (low + high) / 2, (high - low) / 2
            centre, spread = layer(middle), _spread(layer, radius)
            boxes.append((centre - spread, centre + spread))
        else:  # monotone: the ends go to the ends
            boxes.append((layer(low), layer(high)))
    return boxes


def _spread(layer: nn.Linear | nn.Conv2d, radius: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return linear(radius, layer.weight.abs())
    return conv2d(
        radius,
        layer.weight.abs(),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
    )


def crown(layers: Sequence[nn.Module], boxes: Sequence[Box], rows: Tensor) -> Tensor:
    """Lower bounds ``(batch, k)`` of ``rows`` ``(batch, k, classes)`` times the logits.

    A linear lower bound is carried back through the layers; ReLU is bounded by the line above it,
    and by 0 or itself below. From a max pooling backwards nothing linear is carried: there the box
    decides.
    """
    batch, count = rows.shape[:2]
    slope = rows
    offset = torch.zeros(batch, count)
    for number in reversed(range(len(layers))):
        layer, (low, high) = layers[number], boxes[number]
        if isinstance(layer, nn.Linear):
            offset = offset + slope @ layer.bias if layer.bias is not None else offset
            slope = slope @ layer.weight
        elif isinstance(layer, nn.Flatten):
            slope = slope.view(batch, count, *low.shape[1:])
        elif isinstance(layer, nn.Conv2d):
            slope, added = _through_conv(layer, slope, low)
            offset = offset + added
        elif isinstance(layer, nn.ReLU):
            slope, added = _through_relu(slope, low, high)
            offset = offset + added
        else:
            after = boxes[number + 1]
            return offset + _lowest(slope, after)
    return offset + _lowest(slope, boxes[0])


def _lowest(slope: Tensor, box: Box) -> Tensor:
    low, high = (one.flatten(1).unsqueeze(1) for one in box)
    flat = slope.flatten(2)
    return (flat.clamp(min=0) * low + flat.clamp(max=0) * high).sum(2)


def _through_conv(layer: nn.Conv2d, slope: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
    batch, count = slope.shape[:2]
    maps = slope.flatten(0, 1)
    added = torch.zeros(batch, count)
    if layer.bias is not None:
        added = (maps.sum((2, 3)) @ layer.bias).view(batch, count)
    assert not isinstance(layer.padding, str)
    height = low.shape[2] - ((maps.shape[2] - 1) * layer.stride[0] + _span(layer, 0))
    width = low.shape[3] - ((maps.shape[3] - 1) * layer.stride[1] + _span(layer, 1))
    back = conv_transpose2d(
        maps,
        layer.weight,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=(height, width),
        dilation=layer.dilation,
    )
    return back.view(batch, count, *low.shape[1:]), added


def _span(layer: nn.Conv2d, side: int) -> int:
    """The size of an output of one, along that side."""
    padding = layer.padding[side]
    assert not isinstance(padding, str)
    return layer.dilation[side] * (layer.kernel_size[side] - 1) + 1 - 2 * padding


def _through_relu(slope: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    span = (high.clamp(min=0) - low.clamp(max=0)).clamp(min=1e-8)
    above = (high.clamp(min=0) / span).unsqueeze(1)
    below = (high > -low).to(slope).unsqueeze(1)
    rise, fall = slope.clamp(min=0), slope.clamp(max=0)
    added = (fall * above * -low.clamp(max=0).unsqueeze(1)).flatten(2).sum(2)
    return rise * below + fall * above, added
