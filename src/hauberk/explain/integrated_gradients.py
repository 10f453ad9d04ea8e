"""Integrated gradients (Sundararajan et al. 2017, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum.attr import IntegratedGradients as Path

from hauberk.core.errors import UserError
from hauberk.explain.attribution import Attribution, as_array, completeness

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients:
    """Gradients along ``steps`` points from an input of zeros; they sum to what the logit gained.

    Raises:
        UserError: if ``steps`` is below 2.
    """

    steps: int = 32

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise UserError(f"steps must be at least 2, not {self.steps}")

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """See :class:`hauberk.explain.attribution.Explainer`."""
        del seed
        values = Path(module).attribute(x.detach().clone(), target=target, n_steps=self.steps)
        return Attribution(
            method="integrated-gradients",
            target=target,
            values=as_array(values, x),
            completeness=completeness(module, x, target, values),
        )
