"""A torch module as a Model, with gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """The declared form of a module: its name in the registry and plain JSON parameters."""

    name: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class TorchModel:
    """A module, the range of its inputs, and the architecture that rebuilds it."""

    module: nn.Module
    bounds: Bounds = field(default_factory=Bounds)
    architecture: Architecture | None = None

    @property
    def access(self) -> Access:
        """Everything may be asked of it."""
        return Access.GRADIENTS

    def __call__(self, x: Tensor, /) -> Tensor:
        """Logits ``(batch, classes)`` of inputs ``(batch, *shape)``, in the module's own mode."""
        out: Tensor = self.module(x)
        return out
