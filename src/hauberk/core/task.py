"""What it means to be right: a loss and a correctness per sample.

One attack serves every task, since it asks nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
