"""Occlusion: what is lost where a window is covered (Zeiler and Fergus 2014, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from captum.attr import Occlusion as Cover

from hauberk.core.errors import UserError
from hauberk.explain.attribution import Attribution, as_array

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """Loss of the logit under a black window of ``side`` pixels, moved by half of it.

    Raises:
        UserError: if ``side`` is below 2.
    """

    side: int = 6

    def __post_init__(self) -> None:
        if self.side < 2:
            raise UserError(f"side must be at least 2, not {self.side}")

    def __call__(self, module: nn.Module, x: Tensor, target: int, /, *, seed: int) -> Attribution:
        """See :class:`hauberk.explain.attribution.Explainer`."""
        del seed
        window, steps = (1,) * (x.ndim - 1), (1,) * (x.ndim - 1)
        if x.ndim == 4:  # all channels at once
            last = tuple(min(self.side, size) for size in x.shape[2:])
            window = (x.shape[1], *last)
            steps = (x.shape[1], *(max(1, size // 2) for size in last))
        values = Cover(module).attribute(
            x.detach().clone(), target=target, sliding_window_shapes=window, strides=steps
        )
        return Attribution(method="occlusion", target=target, values=as_array(values, x))
