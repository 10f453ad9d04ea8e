"""The ball an attacker may move in: sizes, projections, starts and steepest directions."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

import torch

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hauberk.core.model import Bounds
    from hauberk.core.threat import Norm

_TINY = 1e-12
_SLACK = 1e-6


@dataclass(frozen=True)
class Ball:
    """Points within ``eps`` of a clean point and within the bounds of the inputs.

    ``eps`` is what :class:`hauberk.core.threat.ThreatModel` says. A point of ``spatial`` cannot be
    told from another once it is made: of it only the bounds are checked, and the attack answers
    for the rest.
    """

    norm: Norm
    eps: float
    bounds: Bounds

    def project(self, points: Tensor, centre: Tensor) -> Tensor:
        """Bring ``points`` ``(batch, ...)`` into the ball around ``centre`` and into the bounds.

        In ``l1`` the nearest point of both (Croce and Hein 2021, section 2). Elsewhere first into
        the ball, then into the bounds, which only shortens what is left, since the centre lies in
        them.
        """
        low, high = self.bounds.low, self.bounds.high
        delta = points - centre
        if self.norm == "l1":
            delta = _within_both(delta, low - centre, high - centre, self.eps)
        else:
            delta = project(delta, self.norm, self.eps)
        return (centre + delta).clamp(low, high)

    def start(self, centre: Tensor, uniform: Tensor) -> Tensor:
        """A random point of the ball for each centre, clipped to the bounds.

        ``uniform`` ``(batch, values + 1)`` in [0, 1) is what is random about it.

        Raises:
            UserError: if no start is known for the norm.
        """
        draws, last = uniform[:, :-1], uniform[:, -1:]
        if self.norm == "linf":
            delta = (2 * draws - 1) * self.eps
        elif self.norm == "l2":
            direction = torch.special.ndtri(draws.clamp(_TINY, 1 - 2**-24))
            direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(_TINY)
            delta = direction * self.eps * last ** (1 / draws.shape[1])
        elif self.norm == "l1":
            # Two-sided exponentials over their sum lie evenly on the sphere.
            length = -torch.log1p(-(2 * draws - 1).abs().clamp_max(1 - 2**-24))
            delta = torch.copysign(length, draws - 0.5)
            delta = delta / length.sum(1, keepdim=True).clamp_min(_TINY)
            delta = delta * self.eps * last ** (1 / draws.shape[1])
        else:
            raise UserError(f"no random start is known for {self.norm}", hint="use linf, l2 or l1")
        return self.project(centre + delta.view_as(centre).to(centre), centre)

    def contains(self, points: Tensor, centre: Tensor) -> Tensor:
        """Whether each point is within the ball and the bounds, ``(batch,)`` bool; NaN is not.

        Rounding is allowed for: a relative and an absolute 1e-6.
        """
        low, high = self.bounds.low - _SLACK, self.bounds.high + _SLACK
        inside = ((points >= low) & (points <= high)).flatten(1).all(1)
        if self.norm == "spatial":
            return inside
        if self.norm == "patch":
            return inside & _in_square(points != centre, patch_side(self.eps, points.shape))
        radius = self.eps * (1 + _SLACK) + _SLACK
        return inside & (size(points.double() - centre.double(), self.norm) <= radius)


def patch_side(eps: float, shape: Sequence[int]) -> int:
    """Side in pixels of the largest square that covers ``eps`` of images ``(..., height, width)``.

    A radius above 0 allows one pixel at least.

    Raises:
        UserError: if the inputs are not images, or ``eps`` is above 1.
    """
    if len(shape) < 4:
        raise UserError("a patch covers a part of an image", hint="rows of a table have no area")
    if eps > 1:
        raise UserError(f"a patch covers at most the whole image, not {eps:g} of it")
    height, width = shape[-2:]
    # Before rounding down: what is a whole number must not fall short of it.
    side = int(sqrt(eps * height * width) + _SLACK)
    return min(max(side, ceil(eps)), height, width)


def require_norm(norm: Norm, *known: Norm) -> None:
    """Refuse a norm in which an attack does not work.

    Raises:
        UserError: if ``norm`` is none of the ``known``.
    """
    if norm not in known:
        raise UserError(
            f"the attack works in {' and '.join(known)}, not in {norm}",
            hint="choose another attack or another threat",
        )


def size(delta: Tensor, norm: Norm) -> Tensor:
    """The norm of each difference ``(batch, ...)``: ``(batch,)``; ``l0`` counts the changed."""
    flat = delta.flatten(1)
    if norm == "linf":
        return flat.abs().amax(1)
    if norm == "l2":
        norms: Tensor = flat.norm(dim=1)
        return norms
    if norm == "l1":
        return flat.abs().sum(1)
    if norm == "l0":
        return (flat != 0).sum(1).to(delta.dtype)
    raise UserError(f"{norm} measures no distance", hint="use linf, l2, l1 or l0")


def project(delta: Tensor, norm: Norm, eps: float) -> Tensor:
    """The nearest differences ``(batch, ...)`` of norm ``eps`` at most.

    ``l1``: Duchi et al. (2008), by sorting; ``l0``: the largest values are kept.

    Raises:
        UserError: if the norm measures no distance.
    """
    if norm == "linf":
        return delta.clamp(-eps, eps)
    flat = delta.flatten(1)
    if norm == "l2":
        flat = flat * (eps / flat.norm(dim=1, keepdim=True).clamp_min(_TINY)).clamp_max(1.0)
    elif norm == "l1":
        flat = _onto_l1(flat, eps)
    elif norm == "l0":
        # By rank, not by threshold: ties must not let more values through than eps.
        rank = flat.abs().argsort(dim=1, descending=True, stable=True).argsort(1)
        flat = flat.where(rank < int(eps), 0.0)
    else:
        raise UserError(f"{norm} has no projection", hint="use linf, l2, l1 or l0")
    return flat.view_as(delta)


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The direction of norm 1 ``(batch, ...)`` along which the loss climbs fastest.

    A gradient of zero gives zero.

    Raises:
        UserError: if the norm is neither ``linf`` nor ``l2``.
    """
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        flat = gradient.flatten(1)
        # Scaled by the largest value first: squares of tiny gradients would vanish.
        flat = flat / flat.abs().amax(1, keepdim=True).clamp_min(1e-38)
        unit: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(_TINY)
        return unit.view_as(gradient)
    raise UserError(f"no steepest direction is known for {norm}", hint="use linf or l2")


def _onto_l1(flat: Tensor, eps: float) -> Tensor:
    magnitude = flat.abs()
    ordered = magnitude.sort(dim=1, descending=True).values
    excess = ordered.cumsum(1) - eps
    count = torch.arange(1, flat.shape[1] + 1, device=flat.device, dtype=flat.dtype)
    last = (ordered * count > excess).sum(1, keepdim=True).clamp_min(1)
    threshold = excess.gather(1, last - 1) / last
    shrunk = (magnitude - threshold.clamp_min(0.0)).clamp_min(0.0)
    return torch.copysign(shrunk, flat)


def _within_both(delta: Tensor, low: Tensor, high: Tensor, eps: float) -> Tensor:
    """The nearest differences of ``l1`` norm ``eps`` at most and between ``low`` and ``high``.

    Each value gives way by the same threshold, then stops at its bound: what is left as the
    threshold rises is a line with a bend where a value leaves its bound or reaches 0.
    """
    flat = delta.flatten(1)
    length, sign = flat.abs(), flat.sign()
    room = torch.where(flat > 0, high.flatten(1), -low.flatten(1)).clamp_min(0.0)
    kept = torch.minimum(length, room)
    over = kept.sum(1, keepdim=True) > eps
    if not bool(over.any()):
        return (sign * kept).view_as(delta)
    bends = torch.cat([(length - room).clamp_min(0.0), length], 1)
    bends, order = bends.sort(dim=1)
    turns = torch.cat([-torch.ones_like(flat), torch.ones_like(flat)], 1).gather(1, order)
    slope = turns.cumsum(1)
    fall = (slope[:, :-1] * bends.diff(dim=1)).cumsum(1)
    left = kept.sum(1, keepdim=True) + torch.cat([torch.zeros_like(fall[:, :1]), fall], 1)
    # The last bend before which more than eps is left.
    place = ((left > eps).sum(1, keepdim=True) - 1).clamp(0, bends.shape[1] - 2)
    steep = slope.gather(1, place).clamp_max(-1.0)
    threshold = bends.gather(1, place) + (eps - left.gather(1, place)) / steep
    shrunk = torch.minimum((length - threshold.clamp_min(0.0)).clamp_min(0.0), room)
    shrunk = shrunk * (eps / shrunk.sum(1, keepdim=True).clamp_min(_TINY)).clamp_max(1.0)
    return (sign * torch.where(over, shrunk, kept)).view_as(delta)


def _in_square(changed: Tensor, side: int) -> Tensor:
    """Whether all changed values ``(batch, ..., height, width)`` lie in one square of that side."""
    pixels = changed.flatten(1, -3).any(1)
    fits = torch.ones(len(changed), dtype=torch.bool, device=changed.device)
    for lines in (pixels.any(1), pixels.any(2)):
        place = torch.arange(lines.shape[1], device=changed.device)
        first = torch.where(lines, place, lines.shape[1]).amin(1)
        last = torch.where(lines, place, -1).amax(1)
        fits &= last - first < side
    return fits
