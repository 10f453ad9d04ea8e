"""Mahalanobis: how unlike its own class an answer is (Lee et al. 2018, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard.sensor import finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Arrays, View

_RIDGE = 0.05
_WIDEST = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Mahalanobis:
    """Distance of both models' answers from the mean of the class that the served model names.

    The representation is the logits of both models, each less its mean over the classes: the only
    inner layer that an exported model shows. ``means`` ``(classes, d)`` are of the clean samples
    that the served model gives that class, ``whiten`` ``(d, d)`` a root of the inverse of their
    shared covariance, shrunk. With more than 64 classes the widest are left out.

    Raises:
        DataError: if the parts do not fit each other.
    """

    budget_ms: ClassVar[float] = 0.1
    passes: ClassVar[int] = 0

    means: NDArray[np.float64]
    whiten: NDArray[np.float64]

    def __post_init__(self) -> None:
        d = self.means.shape[-1]
        if self.means.ndim != 2 or self.whiten.shape != (d, d):
            raise DataError("means and covariance do not fit", where="mahalanobis")

    @classmethod
    def fit(cls, view: View) -> Self:
        """Learn from clean samples."""
        answers = _answers(view.primary, view.twin)
        named = view.primary.argmax(axis=1)
        means = np.tile(answers.mean(axis=0), (view.primary.shape[1], 1))
        for label in np.unique(named):
            means[label] = answers[named == label].mean(axis=0)
        centred = answers - means[named]
        cov = centred.T @ centred / len(centred)
        cov += _RIDGE * np.trace(cov) / len(cov) * np.eye(len(cov)) + 1e-9 * np.eye(len(cov))
        values, vectors = np.linalg.eigh(cov)
        return cls(means=means, whiten=vectors / np.sqrt(values))

    def score(self, view: View) -> NDArray[np.float64]:
        """See :class:`hauberk.guard.sensor.Sensor`."""
        far = _answers(view.primary, view.twin) - self.means[view.primary.argmax(axis=1)]
        white = far @ self.whiten
        return finite(np.log(np.vecdot(white, white) + 1e-6), "mahalanobis")

    def surrogate(self, view: View) -> Any:
        """The same on tensors; the class is held fixed."""
        answers = _answers(view.primary, view.twin)
        means = view.primary.new_tensor(self.means)[view.primary.argmax(1)]
        white = (answers - means) @ view.primary.new_tensor(self.whiten)
        return ((white * white).sum(1) + 1e-6).log()

    def parts(self) -> Arrays:
        """Means and whitening."""
        return {"means": self.means, "whiten": self.whiten}

    @classmethod
    def of(cls, parts: Arrays) -> Self:
        """The sensor of its parts."""
        return cls(means=parts["means"], whiten=parts["whiten"])


def _answers(primary: Any, twin: Any) -> Any:
    """Both models' centred logits side by side, ``(n, 2 min(classes, 64))``."""
    one, two = primary[:, :_WIDEST], twin[:, :_WIDEST]
    if isinstance(one, np.ndarray):
        pair = np.concatenate((one, two), axis=1).astype(np.float64)
        half = one.shape[1]
        # Sums, not means: of a single request numpy's mean is mostly its own overhead.
        sides = pair.reshape(len(pair), 2, half)
        sides -= np.add.reduce(sides, axis=2, keepdims=True) / half
        return pair
    half = one.shape[1]
    pair = one.new_empty((len(one), 2 * half))
    pair[:, :half] = one - one.mean(1, keepdim=True)
    pair[:, half:] = two - two.mean(1, keepdim=True)
    return pair
