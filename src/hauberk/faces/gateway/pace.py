"""Pace: whether a request is screened now, by what screening takes and may take.

Within the budget every request is screened before it is answered. Beyond it, what the spec says:
``sample`` screens as large a share as fits the budget on average, ``after`` answers first. Either
shows in the metrics, so that no request goes unscreened unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

How = Literal["inline", "after", "sampled-out"]
_WEIGHT = 0.1
_PROBE = (
    0.02  # the least share that goes on being screened inline, to notice when it is quick again
)


@dataclass
class Pace:
    """``budget`` in seconds, None for none; ``typical`` is what screening took lately.

    ``draw`` gives a number in [0, 1) that nobody can foresee; ``told`` is called with each choice.
    """

    budget: float | None = None
    over: Literal["after", "sample"] = "after"
    draw: Callable[[], float] = lambda: 0.0
    told: Callable[[How], None] = lambda _: None
    typical: float = 0.0

    def choose(self, *, must: bool = False) -> How:
        """How the next request is screened; one that ``must`` be is screened before its answer."""
        how: How = "inline"
        if self.budget is not None and not must and self.typical > self.budget:
            share = self.budget / self.typical if self.over == "sample" else _PROBE
            if self.draw() >= max(share, _PROBE):
                how = "after" if self.over == "after" else "sampled-out"
        self.told(how)
        return how

    def took(self, seconds: float) -> None:
        """Note what screening a request took."""
        self.typical += _WEIGHT * (seconds - self.typical)
