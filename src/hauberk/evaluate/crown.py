"""CROWN: a linear bound of a network's output, found backwards from it.

Zhang et al. (2018), Efficient neural network robustness certification with general activation
functions, section 3, with the slope of the lower line chosen per unit (theorem 3.2). Each rectifier
is held between two lines that follow from its own bounds, which are found in the same way where
that is affordable and by intervals elsewhere; affine steps are exact. The weights of a step are
never written out: its transpose is applied by automatic differentiation.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch

from hauberk.attack.interval_bounds import Step, Steps, intervals

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.threat import Norm

    Bounds = dict[str, tuple[Tensor, Tensor]]

# A step of more units is bounded by intervals alone: its rows would not fit.
MOST_UNITS = 4096
_CHUNK = 256


def tightened(
    steps: Steps, x: Tensor, low: Tensor, high: Tensor, *, norm: Norm, eps: float
) -> Bounds:
    """Bounds of every step, those before a rectifier tightened backwards.

    For inputs within ``eps`` of ``x`` ``(batch, ...)`` and between ``low`` and ``high``.
    """
    bounds = intervals(steps, low, high)
    for place, step in enumerate(steps.steps):
        rectified = [
            one for one in steps.steps[place:] if one.kind == "relu" and step.name in one.inputs
        ]
        shape = bounds[step.name][0].shape[1:]
        if step.kind != "affine" or not rectified or prod(shape) > MOST_UNITS:
            continue
        part = Steps(steps.steps[: place + 1], step.name)
        units = torch.eye(prod(shape), dtype=x.dtype).view(-1, *shape)
        ends = [
            torch.cat(
                [
                    lower(part, bounds, sign * rows[None].expand(len(x), *rows.shape), x, norm, eps)
                    for rows in torch.split(units, _CHUNK)
                ],
                1,
            ).view_as(bounds[step.name][0])
            for sign in (1, -1)
        ]
        found = (
            torch.maximum(ends[0], bounds[step.name][0]),
            torch.minimum(-ends[1], bounds[step.name][1]),
        )
        bounds = {**bounds, **_onward(steps, place, {**bounds, step.name: found})}
    return bounds


def lower(steps: Steps, bounds: Bounds, rows: Tensor, x: Tensor, norm: Norm, eps: float) -> Tensor:
    """Lower bounds ``(batch, rows)`` of ``rows`` ``(batch, rows, *out)`` times the output."""
    with torch.no_grad():
        slopes: dict[str, Tensor] = {steps.output: rows}
        constant = rows.new_zeros(rows.shape[:2])
        for step in reversed(steps.steps):
            slope = slopes.pop(step.name, None)
            if slope is None:
                continue
            if step.kind == "affine":
                backs, rest = _transposed(step, slope, bounds)
            else:
                held = _rectifier if step.kind == "relu" else _held
                backs, rest = held(step, slope, bounds)
            constant = constant + rest
            for name, back in zip(step.inputs, backs, strict=True):
                slopes[name] = slopes[name] + back if name in slopes else back
        slope = slopes["input"].flatten(2)
        low, high = (end.flatten(1) for end in bounds["input"])
        middle, radius = (low + high) / 2, (high - low) / 2
        boxed = (slope * middle[:, None]).sum(2) - (slope.abs() * radius[:, None]).sum(2)
        if norm not in {"l2", "l1"}:
            return constant + boxed
        size = slope.norm(dim=2) if norm == "l2" else slope.abs().amax(2)
        round_ = (slope * x.flatten(1)[:, None]).sum(2) - eps * size
        return constant + torch.maximum(boxed, round_)


def _onward(steps: Steps, place: int, bounds: Bounds) -> Bounds:
    """The intervals of the later steps from tighter ones of an earlier step."""
    with torch.no_grad():
        for step in steps.steps[place + 1 :]:
            ends = [bounds[name] for name in step.inputs]
            if step.kind == "affine":
                middle = step.do(*((a + b) / 2 for a, b in ends))
                radius = step.widen(*((b - a) / 2 for a, b in ends))
                found = (middle - radius, middle + radius)
            else:
                found = (step.do(ends[0][0]), step.do(ends[0][1]))
            old = bounds[step.name]
            bounds[step.name] = (torch.maximum(found[0], old[0]), torch.minimum(found[1], old[1]))
    return bounds


def _transposed(step: Step, slope: Tensor, bounds: Bounds) -> tuple[list[Tensor], Tensor]:
    """The slopes for an affine step's inputs, and what its constant part adds."""
    batch, rows = slope.shape[:2]
    flat = slope.reshape(batch * rows, *slope.shape[2:])
    with torch.enable_grad():
        zeros = [
            flat.new_zeros(batch * rows, *bounds[name][0].shape[1:]).requires_grad_()
            for name in step.inputs
        ]
        out = step.do(*zeros)
        backs = torch.autograd.grad((out * flat).sum(), zeros)
    rest = (out.detach() * flat).flatten(1).sum(1).view(batch, rows)
    return [back.view(batch, rows, *back.shape[1:]) for back in backs], rest


def _rectifier(step: Step, slope: Tensor, bounds: Bounds) -> tuple[list[Tensor], Tensor]:
    """Where a unit may be on either side of 0, a line above it or one below it takes its place."""
    low, high = (end[:, None] for end in bounds[step.inputs[0]])
    gap = (high - low).clamp_min(1e-12)
    above = torch.where(low >= 0, 1.0, torch.where(high <= 0, 0.0, high / gap))
    offset = torch.where((low < 0) & (high > 0), -low * high / gap, 0.0)
    below = torch.where(low >= 0, 1.0, torch.where(high <= 0, 0.0, (high > -low).to(slope)))
    positive, negative = slope.clamp_min(0), slope.clamp_max(0)
    rest = (negative * offset).flatten(2).sum(2)
    return [positive * below + negative * above], rest


def _held(step: Step, slope: Tensor, bounds: Bounds) -> tuple[list[Tensor], Tensor]:
    """A monotone step is worth its own interval, and nothing of it is followed further back."""
    low, high = (end[:, None] for end in bounds[step.name])
    rest = (slope.clamp_min(0) * low + slope.clamp_max(0) * high).flatten(2).sum(2)
    shape = bounds[step.inputs[0]][0].shape[1:]
    return [slope.new_zeros(*slope.shape[:2], *shape)], rest
