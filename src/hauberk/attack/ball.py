"""The ball an attacker may move in: sizes, projections, starts and steepest directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.model import Bounds
    from hauberk.core.threat import Norm

_TINY = 1e-12
_SLACK = 1e-6


@dataclass(frozen=True)
class Ball:
    """Points within ``eps`` of a clean point and within the bounds of the inputs.

    The unit of ``eps`` is that of the input; for ``l0`` it is the number of values changed.
    """

    norm: Norm
    eps: float
    bounds: Bounds

    def project(self, points: Tensor, centre: Tensor) -> Tensor:
        """Bring ``points`` ``(batch, ...)`` into the ball around ``centre``, then into the bounds.

        The second step only shortens what the first left, since the centre lies in the bounds.
        """
        delta = project(points - centre, self.norm, self.eps)
        return (centre + delta).clamp(self.bounds.low, self.bounds.high)

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
        else:
            raise UserError(f"no random start is known for {self.norm}", hint="use linf or l2")
        return self.project(centre + delta.view_as(centre).to(centre), centre)

    def contains(self, points: Tensor, centre: Tensor) -> Tensor:
        """Whether each point is within the ball and the bounds, ``(batch,)`` bool; NaN is not.

        Rounding is allowed for: a relative and an absolute 1e-6.
        """
        low, high = self.bounds.low - _SLACK, self.bounds.high + _SLACK
        inside = ((points >= low) & (points <= high)).flatten(1).all(1)
        radius = self.eps * (1 + _SLACK) + _SLACK
        return inside & (size(points.double() - centre.double(), self.norm) <= radius)


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
    return (flat != 0).sum(1).to(delta.dtype)


def project(delta: Tensor, norm: Norm, eps: float) -> Tensor:
    """The nearest differences ``(batch, ...)`` of norm ``eps`` at most.

    ``l1``: Duchi et al. (2008), by sorting; ``l0``: the largest values are kept.
    """
    if norm == "linf":
        return delta.clamp(-eps, eps)
    flat = delta.flatten(1)
    if norm == "l2":
        flat = flat * (eps / flat.norm(dim=1, keepdim=True).clamp_min(_TINY)).clamp_max(1.0)
    elif norm == "l1":
        flat = _onto_l1(flat, eps)
    else:
        # By rank, not by threshold: ties must not let more values through than eps.
        rank = flat.abs().argsort(dim=1, descending=True, stable=True).argsort(1)
        flat = flat.where(rank < int(eps), 0.0)
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
