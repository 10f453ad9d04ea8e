"""What an attack remembers of each standing sample shrinks with them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Memory:
    """Base of dataclasses whose fields are all tensors ``(standing, ...)``."""

    def narrow(self, keep: Tensor) -> None:
        """Keep the samples at these positions, in place."""
        for field in fields(self):  # type: ignore[arg-type]  # a subclass is a dataclass
            held: Tensor = getattr(self, field.name)
            if len(held) != len(keep):
                setattr(self, field.name, held[keep])

    def replace(self, where: Tensor, **values: Tensor) -> None:
        """Write ``values`` ``(standing, ...)`` into the fields where ``where`` is true."""
        for name, value in values.items():
            held: Tensor = getattr(self, name)
            held[where] = value[where].to(held.dtype)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """``(batch,)`` as ``(batch, 1, …)``, to be multiplied with ``like`` ``(batch, ...)``."""
    return values.view(-1, *[1] * (like.ndim - 1))
