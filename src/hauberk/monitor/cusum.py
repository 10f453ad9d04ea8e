"""CUSUM: the best time at which a bettor could have begun (Page 1954)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.monitor.wealth import _CUT, Wealth

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Cusum(Wealth):
    """M_t = L_t max(M_{t-1}, 1) for each bet.

    Never more than Shiryaev and Roberts' sum over all beginnings, so its run length to N is at
    least theirs: N on average under the null.
    """

    __slots__ = ()

    def play(self, pays: NDArray[np.float64]) -> None:
        """Begin anew where that is better; then multiply by what the bets pay."""
        self.t += 1
        np.maximum(self.money, 1.0, out=self.money)
        self.money *= pays
        if not self.t % _CUT:
            self.cut()
