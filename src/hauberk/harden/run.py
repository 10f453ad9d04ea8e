"""What surrounds a training: where it is kept, where it starts, and who watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hauberk.harden.distributed import Team

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.harden.pace import Pace
    from hauberk.harden.progress import Progress


def no_clock() -> float:
    """Time that does not pass: for runs of which no one asks how long they take."""
    return 0.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """Hooks of one training; by default it keeps nothing and tells no one.

    ``checkpoint`` gets the bytes of a checkpoint after each ``every`` epochs; ``resume`` is such a
    checkpoint to go on from; ``progress`` is told each epoch; ``clock`` gives seconds, and ``pace``
    ends the training by a time. Each process of a ``team`` calls alike; the first keeps
    checkpoints and tells, and its resume and its pace count.
    """

    checkpoint: Callable[[bytes], None] | None = None
    resume: bytes | None = None
    progress: Callable[[Progress], None] | None = None
    clock: Callable[[], float] = no_clock
    pace: Pace | None = None
    every: int = 1
    team: Team = Team()  # noqa: RUF009 - frozen
