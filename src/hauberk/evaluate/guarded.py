"""A model behind its guards is a model: exact forward, the surrogates' gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.model import Bounds, Model


@dataclass(frozen=True, kw_only=True)
class GuardedModel:
    """``model`` asked of what ``guards`` leave of an input, one after the other.

    An attack that takes gradients goes through each guard's ``surrogate`` (Athalye, Carlini and
    Wagner 2018, section 4.1). A guard without one cuts the gradient: the whole then gives scores
    at most, so that gradient attacks are refused and the figure stays unknown, never a pass.

    Raises:
        UserError: if there is no guard.
    """

    model: Model
    guards: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.guards:
            raise UserError("no guard was named")

    @property
    def bounds(self) -> Bounds:
        """Range of the inputs."""
        return self.model.bounds

    @property
    def access(self) -> Access:
        """That of the model; scores at most, if a guard has no surrogate."""
        if all(hasattr(guard, "surrogate") for guard in self.guards):
            return self.model.access
        return min(self.model.access, Access.SCORES)

    def __call__(self, x: Tensor, /) -> Tensor:
        """The model's outputs ``(batch, ...)`` for the cleaned inputs."""
        for guard in self.guards:
            if x.requires_grad and hasattr(guard, "surrogate"):
                x = guard.surrogate(x)
            else:
                cleaned, _ = guard.inspect(x.detach().cpu().numpy())
                x = torch.from_numpy(cleaned).to(x.device, x.dtype)
        return self.model(x)
