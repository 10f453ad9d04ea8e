"""Outputs: what a client is given of a model's logits, blunted as the spec says.

Fewer digits and fewer classes give less to who copies a model or inverts it; labels do not change,
but for classes that rounding makes equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Blunt:
    """Scores of the ``top_k`` classes alone, with ``digits`` after the point; None blunts nothing.

    The other classes' logits become the least that is shown, their probabilities 0.
    """

    digits: int | None = None
    top_k: int | None = None

    def logits(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``(batch, classes)`` as they are shown."""
        if self.top_k is not None and self.top_k < logits.shape[1]:
            least = np.partition(logits, -self.top_k, axis=1)[:, -self.top_k, None]
            logits = np.maximum(logits, least)
        return self._rounded(logits)

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(batch, classes)`` as they are shown."""
        raised = np.exp(logits - logits.max(1, keepdims=True))
        out: NDArray[np.float32] = raised / raised.sum(1, keepdims=True)
        if self.top_k is not None and self.top_k < out.shape[1]:
            least = np.partition(out, -self.top_k, axis=1)[:, -self.top_k, None]
            out = np.where(out >= least, out, np.float32(0))
        return self._rounded(out)

    def _rounded(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        return scores if self.digits is None else np.round(scores, self.digits)
