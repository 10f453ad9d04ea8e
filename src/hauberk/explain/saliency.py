"""Saliency: the slope of the logit (Simonyan et al. 2014, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum.attr import Saliency as Gradient

from hauberk.explain.attribution import Attribution, as_array

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Saliency:
    """Absolute gradient. Quick, noisy, and it promises nothing about sums."""

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """See :class:`hauberk.explain.attribution.Explainer`."""
        del seed
        values = Gradient(module).attribute(x.detach().clone().requires_grad_(), target=target)
        return Attribution(method="saliency", target=target, values=as_array(values, x))
