"""What a caller lends to a long evaluation and sees of it; nothing here changes a figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]
Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Run:
    """``progress(done, total)`` is told the samples attacked so far.

    ``clock`` returns seconds, such as ``time.perf_counter``; without one no time is measured.
    ``batch_size`` samples are attacked at once, as many as fit if None. ``rows`` (from, to) takes a
    shard of the data only; what is found about a sample is the same in any shard.
    """

    progress: Progress | None = None
    clock: Clock | None = None
    batch_size: int | None = None
    rows: tuple[int, int] | None = None

    def now(self) -> float:
        """Seconds by the clock, 0 without one."""
        return self.clock() if self.clock is not None else 0.0
