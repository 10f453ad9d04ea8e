"""Any function of rows as a model: scikit-learn's ``predict_proba``, a booster, a remote call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.core.errors import HauberkError, UserError
from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CalledModel:
    """``function`` takes float32 inputs ``(batch, ...)`` and gives scores or labels.

    Scores are ``(batch, classes)``: logits, or probabilities if ``probabilities``, of which the
    logarithm is taken. Labels are ``(batch,)``, 0 up to ``classes`` - 1, and come out as 1 for the
    label and 0 for the others. ``access`` says which of the two it is.

    Raises:
        UserError: if it is said to give gradients, or has fewer than two classes.
    """

    function: Callable[[NDArray[np.float32]], Any]
    classes: int
    access: Access = Access.SCORES
    probabilities: bool = True
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if self.access > Access.SCORES:
            raise UserError("a function on arrays gives no gradients", hint="give a torch module")
        if self.classes < 2:
            raise UserError(f"a classifier has two classes at least, not {self.classes}")

    def __call__(self, x: Tensor, /) -> Tensor:
        """Scores ``(batch, classes)`` of inputs ``(batch, ...)``.

        Raises:
            HauberkError: if the function answers in another form.
        """
        if len(x) == 0:
            return torch.zeros(0, self.classes)
        found = np.asarray(self.function(x.detach().cpu().float().numpy()))
        if self.access == Access.LABELS:
            return self._labels(found, len(x))
        if found.shape != (len(x), self.classes) or not np.isfinite(found).all():
            raise HauberkError(
                f"scores of shape {found.shape}, not {(len(x), self.classes)}, or not finite",
                where="model",
            )
        scores = torch.from_numpy(found.astype(np.float32))
        return scores.clamp_min(1e-12).log() if self.probabilities else scores

    def _labels(self, found: NDArray[Any], rows: int) -> Tensor:
        whole = found.shape == (rows,) and bool((found == np.rint(found)).all())
        if not whole or found.min() < 0 or found.max() >= self.classes:
            raise HauberkError(
                f"labels of shape {found.shape}, not {rows} of 0 to {self.classes - 1}",
                where="model",
            )
        label = torch.from_numpy(found.astype(np.int64))
        return torch.nn.functional.one_hot(label, self.classes).float()
