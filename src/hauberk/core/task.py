"""What it means to be right: a loss and a correctness per sample.

One attack serves every task, since it asks nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class Task(Protocol):
    """Loss and correctness of outputs against targets, sample by sample."""

    def loss(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Loss ``(batch,)``: the higher, the more wrong; differentiable."""

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Whether each output is right: ``(batch,)`` bool."""

    def margin(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Distance ``(batch,)`` from being wrong: negative where the output is wrong."""


@dataclass(frozen=True, kw_only=True)
class Classification:
    """One label per sample; outputs are logits ``(batch, classes)``.

    ``rounded`` takes the loss as float32 rounds the textbook form, as other libraries do: for
    comparisons with their figures, not for claims (decision 5).
    """

    rounded: bool = False

    def loss(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Cross-entropy ``(batch,)``, in nats."""
        logits = out.float()
        if self.rounded:
            own = logits.log_softmax(1).gather(1, y[:, None])
            return -own.squeeze(1)
        # Written on the differences to the label's logit: the textbook form rounds the label's
        # part of the gradient away where a model is sure, and attacks then miss.
        others = (logits - logits.gather(1, y[:, None])).scatter(1, y[:, None], float("-inf"))
        odds = others.logsumexp(1)
        return odds.logaddexp(odds.new_zeros(()))

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Whether the largest logit is the label's, ``(batch,)`` bool; NaN is wrong."""
        return (out.argmax(1) == y) & out.isfinite().all(1)

    def margin(self, out: Tensor, y: Tensor, /) -> Tensor:
        """The label's logit less the largest other logit, ``(batch,)``."""
        logits = out.float()
        own = logits.gather(1, y[:, None]).squeeze(1)
        other = logits.scatter(1, y[:, None], float("-inf")).amax(1)
        return own - other


@dataclass(frozen=True, kw_only=True)
class Binary:
    """Yes or no: one logit per sample, ``(batch,)`` or ``(batch, 1)``; targets 0 or 1."""

    def loss(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Cross-entropy ``(batch,)``, in nats."""
        lead = self.margin(out, y)
        return (-lead).logaddexp(lead.new_zeros(()))

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Whether the logit lies on the label's side of 0, ``(batch,)`` bool; NaN is wrong."""
        return self.margin(out, y) > 0

    def margin(self, out: Tensor, y: Tensor, /) -> Tensor:
        """The logit, its sign turned where the label is 0, ``(batch,)``."""
        return out.float().reshape(len(y)) * (2 * y - 1)


@dataclass(frozen=True, kw_only=True)
class MultiLabel:
    """Several labels at once; outputs are logits and targets 0 or 1, ``(batch, labels)``.

    An output is right if at most ``allowed`` of its labels are not.
    """

    allowed: int = 0

    def loss(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Cross-entropy summed over the labels ``(batch,)``, in nats."""
        lead = self._leads(out, y)
        return (-lead).logaddexp(lead.new_zeros(())).sum(1)

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Whether enough labels are right, ``(batch,)`` bool; NaN is wrong."""
        return self.margin(out, y) > 0

    def margin(self, out: Tensor, y: Tensor, /) -> Tensor:
        """The least lead of a label that must be right, ``(batch,)``."""
        ranked: Tensor = self._leads(out, y).sort(1).values
        return ranked[:, min(self.allowed, ranked.shape[1] - 1)]

    @staticmethod
    def _leads(out: Tensor, y: Tensor) -> Tensor:
        return out.float() * (2 * y - 1)


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A number, ``(batch,)`` or ``(batch, 1)``; right within ``tolerance`` of the target."""

    tolerance: float

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < float("inf"):
            raise UserError(f"the tolerance must be finite and above 0, not {self.tolerance}")

    def loss(self, out: Tensor, y: Tensor, /) -> Tensor:
        """The squared error ``(batch,)``, in tolerances."""
        return (self._error(out, y) / self.tolerance).square()

    def correct(self, out: Tensor, y: Tensor, /) -> Tensor:
        """Whether the error is at most the tolerance, ``(batch,)`` bool; NaN is wrong."""
        return self.margin(out, y) >= 0

    def margin(self, out: Tensor, y: Tensor, /) -> Tensor:
        """The tolerance less the error, ``(batch,)``."""
        return self.tolerance - self._error(out, y).abs()

    @staticmethod
    def _error(out: Tensor, y: Tensor) -> Tensor:
        return out.float().reshape(len(y)) - y
