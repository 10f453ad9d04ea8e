"""Inputs with targets of any form: numbers, several labels, or boxes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Inputs ``x`` ``(n, ...)`` float32 within ``bounds``, and targets ``y`` ``(n, ...)``.

    Where every sample has one label out of several, :class:`hauberk.core.data.Dataset` says more.

    Raises:
        DataError: if lengths, types or the range do not fit.
    """

    name: str
    x: NDArray[np.float32]
    y: NDArray[Any]
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if len(self.x) == 0 or len(self.x) != len(self.y):
            raise DataError(f"{len(self.x)} inputs and {len(self.y)} targets", where=self.name)
        if self.x.dtype != np.float32 or not np.isfinite(self.x).all():
            raise DataError("inputs must be finite float32", where=self.name)
        if not np.isfinite(self.y.astype(np.float64)).all():
            raise DataError("targets must be finite", where=self.name)
        low, high = float(self.x.min()), float(self.x.max())
        if low < self.bounds.low or high > self.bounds.high:
            raise DataError(
                f"inputs span [{low:g}, {high:g}], outside [{self.bounds.low:g}, "
                f"{self.bounds.high:g}]",
                where=self.name,
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x.shape[1:])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shapes, bounds, inputs and targets."""
        facts = f"{self.x.shape}|{self.y.shape}|{self.y.dtype}|{self.bounds}"
        state = hashlib.sha256(facts.encode())
        state.update(np.ascontiguousarray(self.x).data)
        state.update(np.ascontiguousarray(self.y).data)
        return f"sha256:{state.hexdigest()}"

    def take(self, indices: NDArray[np.int64], *, name: str | None = None) -> Samples:
        """The samples at ``indices``, in that order."""
        return Samples(
            name=name or self.name, x=self.x[indices], y=self.y[indices], bounds=self.bounds
        )
