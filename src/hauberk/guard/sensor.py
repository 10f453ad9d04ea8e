"""Sensor: one number per request that tends to be larger where someone crafted the input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard.twin import both

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class View:
    """What sensors may look at: inputs ``(n, ...)`` and both models' logits ``(n, classes)``.

    Arrays where requests are served, torch tensors where a sensor's surrogate is attacked.
    ``ask`` runs the served model once more on inputs of the same shape; None where that is not
    allowed, and a sensor that needs it then refuses.
    """

    x: Any
    primary: Any
    twin: Any
    ask: Callable[[Any], Any] | None = None

    @cached_property
    def logarithms(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logarithms of both models' probabilities, of arrays; worked out once for all sensors."""
        return both(self.primary, self.twin, 1.0)


class Sensor(Protocol):
    """A component of the group ``sensor``; one that learns has ``fit`` as well.

    ``budget_ms`` is the CPU time for one input of 3x224x224 apart from the models' own, and
    ``passes`` how many further forwards of the served model it takes. ``parts`` are arrays that
    rebuild a fitted sensor: ``Kind.of(parts)``; a sensor without memory has none.
    """

    budget_ms: ClassVar[float]
    passes: ClassVar[int]

    def score(self, view: View, /) -> NDArray[np.float64]:
        """Finite scores ``(n,)``, larger where the input is more suspect."""

    def surrogate(self, view: View, /) -> Any:
        """The same on torch tensors, with a gradient: what an adaptive attacker differentiates."""

    def parts(self) -> Arrays:
        """Arrays that :meth:`of` takes."""


def finite(scores: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Scores as float64.

    Raises:
        DataError: if one is NaN or infinite.
    """
    out = scores.astype(np.float64)
    if not np.isfinite(out).all():
        raise DataError("a score is NaN or infinite", where=where)
    return out


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities ``(n, classes)``."""
    raised = logits.astype(np.float64)
    raised -= np.maximum.reduce(raised, axis=1, keepdims=True)
    np.exp(raised, out=raised)
    raised /= np.add.reduce(raised, axis=1, keepdims=True)
    return raised
