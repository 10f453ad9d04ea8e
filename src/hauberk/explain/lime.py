"""LIME: a sparse linear model around one input (Ribeiro et al. 2016, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from captum.attr import Lime as Local

from hauberk.core.errors import UserError
from hauberk.explain.attribution import Attribution, as_array
from hauberk.explain.grid import parts

if TYPE_CHECKING:
    from torch import Tensor, nn

_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Lime:
    """Weights of ``side`` x ``side`` blocks in a Lasso over ``samples`` maskings.

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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            values = Local(module).attribute(
                x.detach().clone(),
                target=target,
                feature_mask=parts(x, self.side),
                n_samples=self.samples,
                perturbations_per_eval=_AT_ONCE,
            )
        return Attribution(method="lime", target=target, values=as_array(values, x))
