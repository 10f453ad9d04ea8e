"""The nearest point of a plane that lies within the bounds, in each norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hauberk.attack.ball import require_norm

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.model import Bounds
    from hauberk.core.threat import Norm

_TINY = 1e-12


def to_plane(
    points: Tensor, normal: Tensor, offset: Tensor, *, norm: Norm, bounds: Bounds
) -> Tensor:
    """The smallest step ``(batch, ...)`` from ``points`` that brings them onto their planes.

    The plane of a sample is where ``normal`` times the point equals ``offset`` ``(batch,)``. Where
    the bounds do not reach it, the step goes as far as they let it. Exact in ``linf``, ``l2`` and
    ``l1``: each value gives way towards its own bound, and how far all of them go follows from
    sorting the lengths at which they meet it (Croce and Hein 2020, appendix A, solve the same
    problems).

    Raises:
        UserError: in ``l0``.
    """
    require_norm(norm, "linf", "l2", "l1")
    x, w = points.flatten(1), normal.flatten(1)
    gap = offset - (w * x).sum(1)
    way = torch.where(gap < 0, -1.0, 1.0)[:, None] * w.sign()
    room = torch.where(way > 0, bounds.high - x, x - bounds.low).clamp_min(0.0)
    room = room * (way != 0)
    slope, need = w.abs(), gap.abs()
    if norm == "l1":
        moved = _greedy(slope, room, need)
    else:
        # A value moves at this speed until it has no room left.
        speed = (slope > 0).to(slope) if norm == "linf" else slope
        moved = torch.minimum(_length(slope, speed, room, need)[:, None] * speed, room)
    return (way * moved).view_as(points)


def _length(slope: Tensor, speed: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """The least ``t`` with ``sum(slope * min(t * speed, room)) = need``, or the largest useful."""
    stop = room / speed.clamp_min(_TINY)
    stop, order = stop.sort(dim=1)
    rate = (slope * speed).gather(1, order)
    full = (slope * room).gather(1, order).cumsum(1)
    left = rate.sum(1, keepdim=True) - rate.cumsum(1)
    reach = full + stop * left.clamp_min(0.0)
    place = torch.searchsorted(reach, need[:, None]).clamp_max(reach.shape[1] - 1)
    before = (place - 1).clamp_min(0)
    first = place == 0
    done = torch.where(first, 0.0, full.gather(1, before))
    going = torch.where(first, rate.sum(1, keepdim=True), left.gather(1, before))
    exact = (need[:, None] - done) / going.clamp_min(_TINY)
    length: Tensor = torch.minimum(exact.clamp_min(0.0), stop[:, -1:]).squeeze(1)
    return length


def _greedy(slope: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """In ``l1`` the steepest values go first, each as far as it can."""
    order = slope.argsort(dim=1, descending=True, stable=True)
    gain = (slope * room).gather(1, order)
    before = gain.cumsum(1) - gain
    owed = (need[:, None] - before).clamp_min(0.0)
    taken = torch.minimum(gain, owed) / slope.gather(1, order).clamp_min(_TINY)
    return torch.zeros_like(slope).scatter(1, order, taken)
