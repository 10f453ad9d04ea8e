"""What a model is to everything else: bounds, an access level, and a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class Access(IntEnum):
    """What the attacker sees of a model; each level includes the ones below."""

    LABELS = 0
    SCORES = 1
    GRADIENTS = 2


@dataclass(frozen=True)
class Bounds:
    """The range of every input value.

    Raises:
        UserError: if the range is empty.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise UserError(f"empty bounds [{self.low}, {self.high}]")


@runtime_checkable
class Model(Protocol):
    """A batch of inputs to a batch of outputs; a guarded or remote model is a Model too."""

    @property
    def bounds(self) -> Bounds:
        """Range of the inputs."""

    @property
    def access(self) -> Access:
        """What may be asked of this model."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """Outputs ``(batch, ...)``, logits for a classifier, of inputs ``(batch, ...)``."""
