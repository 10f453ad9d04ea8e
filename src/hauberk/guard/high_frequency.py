"""High-frequency energy: crafted changes vary from pixel to pixel, natural ones hardly do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hauberk.guard.bounded import crops, images
from hauberk.guard.sensor import finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Arrays, View

_FLOOR = 1e-4


@dataclass(frozen=True, kw_only=True)
class HighFrequency:
    """Logarithm of the mean absolute mixed difference of neighbouring pixels.

    With ``colour`` it is taken between the channels instead of their mean: what cameras and codecs
    smooth most, and an attack on each value does not. Of a large image crops are read.
    """

    budget_ms: ClassVar[float] = 0.6
    passes: ClassVar[int] = 0

    colour: bool = False

    def score(self, view: View) -> NDArray[np.float64]:
        """See :class:`hauberk.guard.sensor.Sensor`."""
        with np.errstate(invalid="ignore"):
            change = np.abs(self._mixed(view)).reshape(len(view.x), -1)
            energy = np.add.reduce(change, axis=1) / change.shape[1]
        return finite(np.log(energy.astype(np.float64) + _FLOOR), "high frequency")

    def surrogate(self, view: View) -> Any:
        """The same on tensors."""
        return (self._mixed(view).abs().flatten(1).mean(1) + _FLOOR).log()

    def _mixed(self, view: View) -> Any:
        x = crops(images(view.x))
        channels = x.shape[2]
        if self.colour:
            x = x[:, :, 1:] - x[:, :, :-1] if channels > 1 else x
        else:
            x = x.mean(2) if channels > 1 else x[:, :, 0]
        across = x[..., 1:] - x[..., :-1] if x.shape[-1] > 1 else x
        return across[..., 1:, :] - across[..., :-1, :] if x.shape[-2] > 1 else across

    def parts(self) -> Arrays:
        """Whether it looks between the channels."""
        return {"colour": np.array([float(self.colour)])}

    @classmethod
    def of(cls, parts: Arrays) -> Self:
        """The sensor of its parts."""
        return cls(colour=bool(parts["colour"][0]))


@dataclass(frozen=True, kw_only=True)
class ColourDetail(HighFrequency):
    """:class:`HighFrequency` between the channels."""

    colour: bool = True
