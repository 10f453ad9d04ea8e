"""Attribution: how much each value of an input counted for one answer, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """``values`` of the input's own shape, for the logit ``target``.

    ``completeness`` is how far their sum is from the change of the logit between baseline and
    input, as a share of that change; None where the method does not promise that they are equal.
    ``stability`` is the mean rank correlation with attributions of slightly noisy copies, 1 where
    they are the same; None where it was not measured.
    """

    method: str
    target: int
    values: NDArray[np.float64]
    completeness: float | None = None
    stability: float | None = None


class Explainer(Protocol):
    """A component of the group ``explain``: a frozen dataclass of its hyperparameters."""

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """Attribution for one input ``(1, ...)``; the same seed gives the same values."""


def completeness(module: nn.Module, x: Tensor, target: int, values: Tensor) -> float:
    """Distance of the sum of values from what the logit gained over an input of zeros."""
    out = module(x)[0, target] - module(x * 0)[0, target]
    gained = float(out.detach())
    return abs(float(values.sum()) - gained) / max(abs(gained), 1e-6)


def as_array(values: Tensor, x: Tensor) -> NDArray[np.float64]:
    """Values without their batch, spread over the shape of the input."""
    flat = values.detach().double()
    return flat.expand(x.shape)[0].numpy().copy()


def stability(
    explain: Explainer,
    module: nn.Module,
    x: Tensor,
    target: int,
    *,
    seed: int,
    copies: int = 5,
    noise: float = 0.02,
) -> float:
    """Mean Spearman correlation with the attributions of ``copies`` noisy inputs.

    ``noise`` is a standard deviation as a share of the input's own range.
    """
    rng = np.random.default_rng(seed)
    first = _ranks(explain(module, x, target, seed=seed).values)
    span = float(x.max() - x.min()) or 1.0
    found = []
    for _ in range(copies):
        draw = rng.standard_normal(tuple(x.shape)) * noise * span
        again = explain(module, x + x.new_tensor(draw), target, seed=seed)
        found.append(np.corrcoef(first, _ranks(again.values))[0, 1])
    return float(np.nan_to_num(found).mean())


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks, equal values sharing their mean rank."""
    _, place, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    out: NDArray[np.float64] = middle[place]
    return out
