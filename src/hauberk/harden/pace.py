"""How long the epochs of a training take, and how many of them fit into a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    # Whether an epoch, counted from 1, is measured if there are so many in all.
    Measured = Callable[[int, int], bool]


@dataclass(kw_only=True)
class Pace:
    """Measures one training by ``clock``, and says how many epochs it may have to end by ``until``.

    ``until`` is a reading of the clock. ``epoch`` is what an epoch without measuring is believed to
    take until one is over, and then their mean; ``measuring`` is what measuring the weights is
    believed to take until it was done, and then the most that it took.
    """

    clock: Callable[[], float]
    until: float
    epoch: float
    measuring: float
    fitting: int = 0
    """How many epochs in all were last said to fit."""

    def __post_init__(self) -> None:
        self._last, self._training = self.clock(), 0.0
        self._epochs = self._measures = 0

    def begun(self, most: int, measured: Measured) -> int:
        """Before the first epoch: how many fit, at least 1 and at most ``most``."""
        self._last = self.clock()
        left = self.until - self._last - self.epoch
        return self._fitting(1, most, measured, left=left, known=False)

    def trained(self, epoch: int, most: int, measured: Measured) -> int:
        """After that epoch and before it is measured: how many fit in all, at least ``epoch``."""
        now = self.clock()
        self._training += now - self._last
        self._epochs += 1
        self._last, self.epoch = now, self._training / self._epochs
        return self._fitting(epoch, most, measured, left=self.until - now, known=False)

    def measured(self, epoch: int, most: int, measured: Measured) -> int:
        """After that epoch's weights were measured: how many fit in all, at least ``epoch``."""
        now = self.clock()
        took = now - self._last
        self.measuring = max(self.measuring, took) if self._measures else took
        self._measures += 1
        self._last = now
        return self._fitting(epoch, most, measured, left=self.until - now, known=True)

    def _fitting(
        self, epoch: int, most: int, measured: Measured, *, left: float, known: bool
    ) -> int:
        """The last that fits, from ``epoch`` on, which is trained, and measured if ``known``."""

        def needed(last: int) -> float:
            count = sum(measured(number, last) for number in range(epoch + known, last + 1))
            return (last - epoch) * self.epoch + count * self.measuring

        low, high = epoch, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if needed(middle) <= left else (low, middle - 1)
        self.fitting = low
        return low
