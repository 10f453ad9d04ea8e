"""Circuit breaker: a server that fails again and again is left alone for a while."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hauberk.adapters.upstream.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["closed", "open", "half-open"]


@dataclass
class Breaker:
    """Opens after ``failures`` in a row; after ``pause`` seconds one request tries again.

    That one closes it if it succeeds and opens it anew if not; meanwhile the others are refused.
    A trial that never ends counts as failed after a further pause.
    """

    failures: int = 5
    pause: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _row: int = 0
    _opened: float | None = None
    _trying: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> State:
        """Whether requests pass, are refused, or one is on trial."""
        if self._opened is None:
            return "closed"
        return "half-open" if self.clock() - self._opened >= self.pause else "open"

    def enter(self) -> None:
        """Let a request pass.

        Raises:
            Trouble: of kind ``paused`` if the circuit is open.
        """
        with self._lock:
            if self._opened is None:
                return
            if self.clock() - self._opened < self.pause:
                raise Trouble("paused", "it failed too often; not asked for a while", sent=False)
            self._opened = self.clock()  # the trial's own turn
            self._trying = True

    def succeed(self) -> None:
        """Note that a request was answered."""
        with self._lock:
            self._row, self._opened, self._trying = 0, None, False

    def fail(self) -> None:
        """Note that a request was not."""
        with self._lock:
            self._row += 1
            if self._trying or self._row >= self.failures:
                self._opened, self._trying = self.clock(), False
