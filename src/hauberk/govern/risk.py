"""Risk: likelihood times impact, each from 1 to 5, and its level in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS = ((17, "critical"), (10, "high"), (5, "medium"), (1, "low"))
_MATURITY = {"realized": 1, "demonstrated": 0, "feasible": -1}


@dataclass(frozen=True, kw_only=True)
class Rating:
    """How likely and how bad, each from 1 to 5."""

    likelihood: int
    impact: int

    @property
    def score(self) -> int:
        """From 1 to 25."""
        return self.likelihood * self.impact

    @property
    def level(self) -> str:
        """``low``, ``medium``, ``high`` or ``critical``."""
        return next(name for least, name in LEVELS if self.score >= least)

    def verified(self) -> Rating:
        """What is left once a check showed that the controls work: two steps less likely."""
        return Rating(likelihood=max(1, self.likelihood - 2), impact=self.impact)

    def __str__(self) -> str:
        return f"{self.level} ({self.likelihood}×{self.impact})"


def rate(likelihood: int, impact: int, maturity: Iterable[str] = ()) -> Rating:
    """The rating of a threat whose techniques have these maturities in ATLAS.

    What was seen in the wild is a step likelier, what is only thought feasible a step less.
    """
    step = max((_MATURITY.get(one, 0) for one in maturity), default=0)
    return Rating(likelihood=min(5, max(1, likelihood + step)), impact=min(5, max(1, impact)))
