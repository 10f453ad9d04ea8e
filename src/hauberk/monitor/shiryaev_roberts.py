"""Shiryaev–Roberts: a unit of capital before each request; alarms by run length, not for ever."""

from __future__ import annotations

from hauberk.monitor.wealth import Wealth


class ShiryaevRoberts(Wealth):
    """R_t = L_t (R_{t-1} + 1) for each bet.

    Under the null R_t - t is a supermartingale, so the first time at which the mean over the bets
    reaches N comes after N steps or more on average, whatever the bets and however they depend on
    each other (Shin, Ramdas and Rinaldo 2024, E-detectors, section 2). Unlike wealth it pays
    nothing for a late start, and raises a false alarm sooner or later.
    """

    __slots__ = ()

    def _enter(self, t: int) -> float:
        return 1.0

    def _enters(self, t: int, k: int) -> float:
        return 1.0
