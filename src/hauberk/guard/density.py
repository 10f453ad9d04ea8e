"""Density: how far the input lies from the clean ones, on a small copy of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard.bounded import images, thumbnail
from hauberk.guard.sensor import finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Arrays, View

_SIDE, _KEPT, _MOST = 12, 0.98, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Density:
    """Logarithm of the Gaussian distance of a thumbnail, plus what its main directions miss.

    Probabilistic principal components (Tipping and Bishop 1999) of 12 x 12 thumbnails: ``mean``
    ``(d,)``, ``axes`` ``(d, k)`` scaled to unit variance, ``spare`` the mean variance of the rest.
    Sees inputs of another kind, hardly ever a small perturbation of a natural image.

    Raises:
        DataError: if the parts do not fit each other.
    """

    budget_ms: ClassVar[float] = 0.4
    passes: ClassVar[int] = 0

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    scale: NDArray[np.float64]
    spare: float

    def __post_init__(self) -> None:
        fits = self.axes.ndim == 2 and self.axes.shape == (len(self.mean), len(self.scale))
        if not fits or not self.spare > 0:
            raise DataError("axes do not fit", where="density")

    @classmethod
    def fit(cls, view: View) -> Self:
        """Learn from clean samples."""
        flat = _thumbs(view.x).astype(np.float64)
        mean = flat.mean(axis=0)
        _, spread, axes = np.linalg.svd(flat - mean, full_matrices=False)
        variance = spread**2 / len(flat)
        total = variance.sum() + 1e-12
        needed = int(np.searchsorted(np.cumsum(variance) / total, _KEPT)) + 1
        k = min(_MOST, needed, len(spread))
        rest = max(len(mean) - k, 1)
        spare = float(variance[k:].sum() / rest + 1e-6 + 1e-3 * total / len(mean))
        return cls(
            mean=mean, axes=np.ascontiguousarray(axes[:k].T), scale=variance[:k] + 1e-6, spare=spare
        )

    def score(self, view: View) -> NDArray[np.float64]:
        """See :class:`hauberk.guard.sensor.Sensor`.

        Raises:
            DataError: if the inputs are of another size than those learned from.
        """
        far = self._far(_thumbs(view.x).astype(np.float64))
        along = far @ self.axes
        missed = np.vecdot(far, far) - np.vecdot(along, along)
        total = (along * along / self.scale).sum(axis=1) + np.maximum(missed, 0.0) / self.spare
        return finite(np.log(total + 1e-6), "density")

    def surrogate(self, view: View) -> Any:
        """The same on tensors."""
        flat = _thumbs(view.x)
        far = self._far(flat, flat.new_tensor(self.mean))
        along = far @ flat.new_tensor(self.axes)
        missed = (far * far).sum(1) - (along * along).sum(1)
        total = (along * along / flat.new_tensor(self.scale)).sum(1)
        return (total + missed.clamp(min=0.0) / self.spare + 1e-6).log()

    def _far(self, flat: Any, mean: Any = None) -> Any:
        if flat.shape[1] != len(self.mean):
            raise DataError("an input of another size than calibrated", where="density")
        return flat - (self.mean if mean is None else mean)

    def parts(self) -> Arrays:
        """Mean, axes, their variances and that of the rest."""
        return {
            "mean": self.mean,
            "axes": self.axes,
            "scale": self.scale,
            "spare": np.array([self.spare]),
        }

    @classmethod
    def of(cls, parts: Arrays) -> Self:
        """The sensor of its parts."""
        return cls(
            mean=parts["mean"],
            axes=parts["axes"],
            scale=parts["scale"],
            spare=float(parts["spare"][0]),
        )


def _thumbs(x: Any) -> Any:
    small = thumbnail(images(x), _SIDE)
    return small.reshape(small.shape[0], -1)
