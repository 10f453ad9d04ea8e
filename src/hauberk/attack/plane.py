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
_FINE = 1e-6  # relative: below what float32 sums resolve
_MOST_PIECES = 50


def to_plane(
    points: Tensor, normal: Tensor, offset: Tensor, *, norm: Norm, bounds: Bounds
) -> Tensor:
    """The smallest step ``(batch, ...)`` from ``points`` that brings them onto their planes.

    The plane of a sample is where ``normal`` times the point equals ``offset`` ``(batch,)``. Where
    the bounds do not reach it, the step goes as far as they let it. Exact in ``linf``, ``l2`` and
    ``l1``: each value gives way towards its own bound, and how far all of them go is where their
    gains add up to what is needed (Croce and Hein 2020, appendix A, solve the same problems by
    sorting).

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
    """The least ``t`` with ``sum(slope * min(t * speed, room)) = need``, or the largest useful.

    What is gained by ``t`` bends downwards where a value runs out of room. Newton's steps come up
    to the solution from below, along straight pieces, so a few are exact: nothing is sorted.
    """
    stop = torch.where(speed > 0, room / speed.clamp_min(_TINY), 0.0)
    rate = slope * speed
    length = need.new_zeros(len(need), 1)
    for _ in range(_MOST_PIECES):
        gained = (rate * torch.minimum(length, stop)).sum(1, keepdim=True)
        going = (rate * (stop > length)).sum(1, keepdim=True)
        # Where nothing has room left there is no further to go.
        further = torch.where(going > 0, (need[:, None] - gained) / going.clamp_min(_TINY), 0.0)
        longer = length + further.clamp_min(0.0)
        if bool((longer - length <= _FINE * length).all()):
            break
        length = longer
    return torch.minimum(length, stop.amax(1, keepdim=True)).squeeze(1)


def _greedy(slope: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """In ``l1`` the steepest values go first, each as far as it can."""
    order = slope.argsort(dim=1, descending=True, stable=True)
    gain = (slope * room).gather(1, order)
    before = gain.cumsum(1) - gain
    owed = (need[:, None] - before).clamp_min(0.0)
    taken = torch.minimum(gain, owed) / slope.gather(1, order).clamp_min(_TINY)
    return torch.zeros_like(slope).scatter(1, order, taken)
