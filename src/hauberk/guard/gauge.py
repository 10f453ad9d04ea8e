"""Gauge: accuracy read from signals, without labels, with an interval and known blind spots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard import packing
from hauberk.guard.boosting import Trees
from hauberk.guard.signals import SIGNALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEYS = ("roots", "feature", "threshold", "left", "right", "value", "scalars")


@dataclass(frozen=True, kw_only=True, eq=False)
class Gauge:
    """Estimates the accuracy over ``window`` requests from their signals.

    ``below`` and ``above`` bound the error on families of shift and attack that were left out when
    fitting: of one more family the truth lies within ``[estimate - below, estimate + above]`` for
    90 % of the windows, on average over families. ``error`` is the mean absolute error on them,
    ``blind`` those on which it was above 0.1: name → (truth, estimate).

    Raises:
        DataError: if a number is out of range.
    """

    trees: Trees
    window: int
    error: float
    below: float
    above: float
    blind: dict[str, tuple[float, float]]

    def __post_init__(self) -> None:
        if self.window < 1 or not min(self.below, self.above, self.error) >= 0:
            raise DataError("errors and window must not be negative", where="gauge")

    def estimate(self, signals: NDArray[np.float64]) -> tuple[float, tuple[float, float]]:
        """Accuracy and its 90 % interval, as fractions."""
        value = float(np.clip(self.trees(signals), 0.0, 1.0))
        return value, (max(0.0, value - self.below), min(1.0, value + self.above))

    def to_bytes(self) -> bytes:
        """An npz without pickles."""
        facts = {
            "gauge": 1,
            "window": self.window,
            "error": self.error,
            "below": self.below,
            "above": self.above,
            "blind": {name: list(pair) for name, pair in self.blind.items()},
            "signals": list(SIGNALS),
        }
        return packing.pack(facts, self.trees.arrays())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            DataError: if it is malformed, or made for other signals.
        """
        facts, arrays = packing.unpack(data, _KEYS)
        if facts.get("gauge") != 1 or facts.get("signals") != list(SIGNALS):
            raise DataError("not a gauge of these signals", where="gauge", hint="fit it again")
        return cls(trees=Trees.from_arrays(arrays), **_read(facts))


def _read(facts: dict[str, Any]) -> dict[str, Any]:
    try:
        blind = {str(k): (float(a), float(b)) for k, (a, b) in facts["blind"].items()}
        numbers = {key: float(facts[key]) for key in ("error", "below", "above")}
        return {**numbers, "window": int(facts["window"]), "blind": blind}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"malformed: {error}", where="gauge") from None
