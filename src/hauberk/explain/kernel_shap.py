"""KernelSHAP: Shapley values by weighted regression (Lundberg and Lee 2017, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from captum.attr import KernelShap as Regression

from hauberk.core.errors import UserError
from hauberk.explain.attribution import Attribution, as_array
from hauberk.explain.grid import parts

if TYPE_CHECKING:
    from torch import Tensor, nn

_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class KernelShap:
    """Shares of ``side`` x ``side`` blocks of an image in the logit, from ``samples`` maskings.

    Raises:
        UserError: if there are fewer than 10 samples, or no blocks.
    """

    samples: int = 200
    side: int = 7

    def __post_init__(self) -> None:
        if self.samples < 10 or self.side < 1:
            raise UserError("samples must be at least 10 and side at least 1")

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """See :class:`hauberk.explain.attribution.Explainer`."""
        mask = parts(x, self.side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            values = Regression(module).attribute(
                x.detach().clone(),
                target=target,
                feature_mask=mask,
                n_samples=self.samples,
                perturbations_per_eval=_AT_ONCE,
            )
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
