"""Simultaneous perturbation stochastic approximation: finite differences along random signs."""

from __future__ import annotations

from dataclasses import dataclass

from hauberk.attack.nes import NES, Draw


@dataclass(frozen=True, kw_only=True)
class SPSA(NES):
    """As :class:`hauberk.attack.nes.NES`, with directions of random signs.

    Uesato et al. (2018), section 4.2, after Spall (1992).
    """

    draw: Draw = "signs"
