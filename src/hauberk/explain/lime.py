"""LIME: a sparse linear model around one input (Ribeiro et al. 2016, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum.attr import Lime as Regression

from hauberk.explain.attribution import Attribution, as_array
from hauberk.explain.maskings import Maskings

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Lime(Maskings):
    """Weights of ``side`` x ``side`` blocks in a Lasso over ``samples`` maskings."""

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """See :class:`hauberk.explain.attribution.Explainer`."""
        values, _ = self.fitted(Regression, module, x, target, seed=seed)
        return Attribution(method="lime", target=target, values=as_array(values, x))
