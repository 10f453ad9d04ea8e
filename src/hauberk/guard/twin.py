"""TwinDivergence: how far the served model's answer is from its robust twin's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hauberk.core.errors import DataError, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TwinDivergence:
    """Kullback–Leibler divergence of the served model's answer from the twin's, in nats.

    KL(twin ‖ primary): large where the primary is sure of what the twin holds unlikely, which is
    what an input crafted on the primary looks like; small where the twin is unsure, as it is on
    blurred or turned inputs. Of the divergences tried it left the most power against a composite
    of benign shifts. It does not see an input that fools both models alike. ``temperature``
    divides both sides' logits.

    Raises:
        UserError: if ``temperature`` is not positive and finite.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise UserError(f"temperature must be positive and finite, not {self.temperature}")

    def score(
        self, primary_logits: NDArray[np.floating], twin_logits: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Divergence ``(n,)``, in nats, at least 0, of logits ``(n, classes)`` of both models.

        Raises:
            DataError: if the shapes differ, there are fewer than two classes, or a logit is NaN
                or infinite.
        """
        served, twin = both(primary_logits, twin_logits, self.temperature)
        return apart(served, twin)


def both(
    primary_logits: NDArray[np.floating], twin_logits: NDArray[np.floating], temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of both models' probabilities ``(n, classes)``.

    Raises:
        DataError: if the shapes differ, or there are fewer than two classes.
    """
    if primary_logits.ndim != 2 or primary_logits.shape != twin_logits.shape:
        raise DataError(
            f"logits of shapes {primary_logits.shape} and {twin_logits.shape}",
            where="twin divergence",
            hint="both models must answer (n, classes) with the same classes",
        )
    if primary_logits.shape[1] < 2:
        raise DataError("a divergence needs at least two classes", where="twin divergence")
    return _log_softmax(primary_logits, temperature), _log_softmax(twin_logits, temperature)


def apart(served: NDArray[np.float64], twin: NDArray[np.float64]) -> NDArray[np.float64]:
    """KL(twin ‖ served) ``(n,)`` of logarithms of probabilities.

    Raises:
        DataError: if it is NaN or infinite.
    """
    score: NDArray[np.float64] = np.add.reduce(np.exp(twin) * (twin - served), axis=1)
    # A NaN or an infinity in any logit makes the sum NaN or infinite.
    if not np.isfinite(score).all():
        raise DataError("a model answered NaN or an infinity", where="twin divergence")
    return np.maximum(score, 0.0)


def _log_softmax(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    scaled -= np.maximum.reduce(scaled, axis=1, keepdims=True)
    scaled -= np.log(np.add.reduce(np.exp(scaled), axis=1, keepdims=True))
    return scaled
