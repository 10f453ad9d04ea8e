"""Schema: the form that every input must have before anything computes on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.core.errors import DataError, UserError
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Rows of float32 of one ``shape``, finite, within ``bounds``, at most ``max_rows`` of them.

    A guard that only refuses: what does not fit is an error, never mended, since a clipped input
    is not the input that its sender asked about.

    Raises:
        UserError: if ``shape`` or ``max_rows`` is not positive.
    """

    shape: tuple[int, ...]
    bounds: Bounds = field(default_factory=Bounds)
    max_rows: int = 1024

    def __post_init__(self) -> None:
        if self.max_rows < 1 or any(size < 1 for size in self.shape):
            raise UserError(f"a schema of shape {self.shape} and {self.max_rows} rows fits nothing")

    def check_form(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Refuse a wrong type, shape or number of rows; reads no value.

        Raises:
            DataError: saying what was expected.
        """
        if dtype != np.float32:
            raise DataError(f"expected float32, got {dtype}", where="input")
        if len(shape) != len(self.shape) + 1 or shape[1:] != self.shape:
            wanted = ", ".join(["rows", *map(str, self.shape)])
            raise DataError(f"expected shape ({wanted}), got {list(shape)}", where="input")
        if not 1 <= shape[0] <= self.max_rows:
            raise DataError(f"expected 1 to {self.max_rows} rows, got {shape[0]}", where="input")

    def check_values(self, x: NDArray[np.float32]) -> None:
        """Refuse NaN, infinities and values out of range; the message repeats no value.

        Raises:
            DataError: saying which.
        """
        # NaN wins both.
        low = float(np.minimum.reduce(x, axis=None))
        high = float(np.maximum.reduce(x, axis=None))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError("the values hold NaN or an infinity", where="input")
        if low < self.bounds.low or high > self.bounds.high:
            raise DataError(
                f"a value lies outside [{self.bounds.low:g}, {self.bounds.high:g}]",
                where="input",
                hint="scale the input as the model's training data was",
            )

    def check(self, x: NDArray[Any]) -> None:
        """Refuse rows that do not fit.

        Raises:
            DataError: saying why.
        """
        self.check_form(x.shape, x.dtype)
        self.check_values(x)

    def inspect(self, x: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The rows as they came and a suspicion ``(batch,)`` of 0: a schema only refuses.

        Raises:
            DataError: if the rows do not fit.
        """
        self.check(x)
        return x, np.zeros(len(x), dtype=np.float32)
