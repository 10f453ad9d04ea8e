"""Sampling: which requests that nobody suspects are kept for review, beside those that are flagged.

A share of all, drawn so that nobody can foresee it. Under load few of them: people label no more,
each is a file to write, and many would push the flagged ones out of a quarantine that is bounded.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_DRAWN = 256


class Unforeseen:
    """Numbers in [0, 1) of the system's randomness, asked for many at a time."""

    def __init__(self) -> None:
        self._left: list[float] = []

    def __call__(self) -> float:
        """The next."""
        try:
            return self._left.pop()
        except IndexError:
            drawn = struct.unpack(f"<{_DRAWN}I", os.urandom(4 * _DRAWN))
            self._left = [one / 2**32 for one in drawn]
            return self._left.pop()


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
