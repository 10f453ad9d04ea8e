"""KernelSHAP: Shapley values by weighted regression (Lundberg and Lee 2017, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from captum.attr import KernelShap as Regression

from hauberk.explain.attribution import Attribution, as_array
from hauberk.explain.maskings import Maskings

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class KernelShap(Maskings):
    """Shares of ``side`` x ``side`` blocks of an image in the logit, from ``samples`` maskings."""

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """See :class:`hauberk.explain.attribution.Explainer`."""
        values, mask = self.fitted(Regression, module, x, target, seed=seed)
        with torch.no_grad():
            gained = float(module(x)[0, target] - module(x * 0)[0, target])
        # Every value of a block carries the block's share: count each block once.
        first = torch.zeros(int(mask.max()) + 1, dtype=values.dtype)
        first[mask.reshape(-1)] = values.reshape(-1)
        return Attribution(
            method="kernel-shap",
            target=target,
            values=as_array(values, x),
            completeness=abs(float(first.sum()) - gained) / max(abs(gained), 1e-6),
        )
