"""Feature squeezing: does the answer survive a smoother input? (Xu et al. 2018, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hauberk.core.errors import DataError
from hauberk.guard.bounded import images
from hauberk.guard.sensor import finite, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.guard.sensor import Arrays, View


@dataclass(frozen=True, kw_only=True)
class Squeezing:
    """L1 distance between the served model's probabilities of the input and of its smoothed copy.

    The copy is a mean over 2 x 2 pixels, a squeezer with an exact gradient. It costs one more
    forward of the served model.
    """

    budget_ms: ClassVar[float] = 1.0
    passes: ClassVar[int] = 1

    def score(self, view: View) -> NDArray[np.float64]:
        """See :class:`hauberk.guard.sensor.Sensor`.

        Raises:
            DataError: if the view does not let it ask the served model.
        """
        again = softmax(self._asked(view, np.ascontiguousarray(_smooth(view.x), np.float32)))
        return finite(np.abs(softmax(view.primary) - again).sum(axis=1), "squeezing")

    def surrogate(self, view: View) -> Any:
        """The same on tensors."""
        again = self._asked(view, _smooth(view.x)).softmax(1)
        return (view.primary.softmax(1) - again).abs().sum(1)

    def _asked(self, view: View, x: Any) -> Any:
        if view.ask is None:
            raise DataError("the served model cannot be asked again here", where="squeezing")
        return view.ask(x)

    def parts(self) -> Arrays:
        """It remembers nothing."""
        return {}

    @classmethod
    def of(cls, parts: Arrays) -> Self:
        """The sensor of its parts."""
        return cls()


def _smooth(x: Any) -> Any:
    """Each pixel with its right and lower neighbours, the last ones with themselves."""
    grid = images(x)
    for axis in (2, 3):
        if grid.shape[axis] < 2:
            continue
        rest = grid[:, :, 1:] if axis == 2 else grid[..., 1:]
        head = grid[:, :, :-1] if axis == 2 else grid[..., :-1]
        last = grid[:, :, -1:] if axis == 2 else grid[..., -1:]
        means = (head + rest) / 2
        if isinstance(grid, np.ndarray):
            grid = np.concatenate((means, last), axis=axis)
            continue
        whole = grid.new_empty(grid.shape)
        if axis == 2:
            whole[:, :, :-1], whole[:, :, -1:] = means, last
        else:
            whole[..., :-1], whole[..., -1:] = means, last
        grid = whole
    return grid.reshape(x.shape)
