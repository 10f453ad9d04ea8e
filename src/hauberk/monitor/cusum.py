"""CUSUM: the best time at which a bettor could have begun (Page 1954)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hauberk.monitor.shiryaev_roberts import ShiryaevRoberts

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Cusum(ShiryaevRoberts):
    """M_t = L_t max(M_{t-1}, 1) for each bet.

    Never more than Shiryaev and Roberts' sum over all beginnings, so its run length to N is at
    least theirs: N on average under the null.
    """

    __slots__ = ()

    _join: np.ufunc = np.maximum

    def _worth(
        self, gain: NDArray[np.float64], entered: NDArray[np.float64], base: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return gain * np.maximum(base, entered)
