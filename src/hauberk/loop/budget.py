"""How often the loop may train: an alarm must not become a denial of service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.spec import LoopSpec


def remaining(starts: Sequence[float], rules: LoopSpec, at: float) -> tuple[float, ...]:
    """The starts, in seconds, that still count at ``at``; one in the future counts."""
    span = max(rules.window, rules.cooldown)
    return tuple(start for start in starts if at - start < span)


def held_back(starts: Sequence[float], rules: LoopSpec, at: float) -> str:
    """Why no training may start at ``at``, in words; empty where it may."""
    recent = [start for start in starts if at - start < rules.window]
    if len(recent) >= rules.max_trainings:
        return f"{len(recent)} trainings within {rules.window:g} s, at most {rules.max_trainings}"
    if starts and at - max(starts) < rules.cooldown:
        return f"the last training began less than {rules.cooldown:g} s ago"
    return ""
