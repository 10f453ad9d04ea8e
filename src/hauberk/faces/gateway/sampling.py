"""Sampling: which requests that nobody suspects are kept for review, beside those that are flagged.

A share of all, drawn so that nobody can foresee it. Under load few of them: people label no more,
each is a file to write, and many would push the flagged ones out of a quarantine that is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Sampling:
    """A ``share`` of the requests; ``most`` at once, and ``rate`` a second in the long run.

    ``draw`` gives a number in [0, 1).
    """

    draw: Callable[[], float]
    share: float = 0.02
    most: float = 128.0
    rate: float = 2.0
    _left: float = field(default=0.0, init=False)
    _at: float = field(default=0.0, init=False)

    def __call__(self, at: float) -> bool:
        """Whether a request of this moment, in seconds, is kept."""
        if self.draw() >= self.share:
            return False
        self._left = min(self.most, self._left + max(0.0, at - self._at) * self.rate)
        self._at = at
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
