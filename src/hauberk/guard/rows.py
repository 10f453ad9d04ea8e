"""Rows: what each feature of a table may be, and what must hold between features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hauberk.core.errors import DataError, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLACK = 1e-4


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Refuses rows ``(n, features)`` that no honest source makes; mends none.

    ``low`` and ``high`` bound each feature; ``whole`` are the features that hold whole numbers;
    each group in ``one_hot`` has exactly one 1 and else 0. The surrogate is the identity: what is
    refused is out of an attacker's reach, what passes is untouched.

    Raises:
        UserError: if the constraints contradict themselves.
    """

    budget_ms: ClassVar[float] = 1.0
    false_refusals: ClassVar[float] = 0.0

    low: tuple[float, ...]
    high: tuple[float, ...]
    whole: tuple[int, ...] = ()
    one_hot: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        width = len(self.low)
        named = {*self.whole, *(index for group in self.one_hot for index in group)}
        if width == 0 or width != len(self.high) or any(not 0 <= one < width for one in named):
            raise UserError("constraints name features that the rows do not have")
        if any(not low <= high for low, high in zip(self.low, self.high, strict=True)):
            raise UserError("a feature's lower bound is above its upper one")

    def inspect(self, x: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The rows as they came and a suspicion ``(n,)`` of 0.

        Raises:
            DataError: naming the first feature that breaks a constraint, not its value.
        """
        if x.ndim != 2 or x.shape[1] != len(self.low):
            raise DataError(f"expected {len(self.low)} features, got {list(x.shape)}", where="rows")
        low, high = (np.array(edge, dtype=np.float32) for edge in (self.low, self.high))
        inside = ((x >= low) & (x <= high)).all(axis=0)  # NaN is outside
        if not inside.all():
            raise DataError(f"feature {int(np.argmin(inside))} is out of its range", where="rows")
        for index in self.whole:
            if (np.abs(x[:, index] - np.rint(x[:, index])) > _SLACK).any():
                raise DataError(f"feature {index} must be a whole number", where="rows")
        for group in self.one_hot:
            part = x[:, list(group)]
            ones = np.abs(part - 1) <= _SLACK
            if not ((ones | (np.abs(part) <= _SLACK)).all() and (ones.sum(axis=1) == 1).all()):
                raise DataError(f"features {list(group)} must hold exactly one 1", where="rows")
        return x, np.zeros(len(x), dtype=np.float32)

    def surrogate(self, x: Any) -> Any:
        """The identity."""
        return x
