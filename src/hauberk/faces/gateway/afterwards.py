"""Afterwards: requests that were answered before they were screened are screened here.

A thread of its own takes them from a bounded queue; what does not fit is told unscreened, and
counted.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 256


class Afterwards:
    """Runs pieces of work one after another; ``dropped`` is called when there is no room."""

    def __init__(self, *, dropped: Callable[[], None] = lambda: None) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._wake, self._stop = threading.Condition(), False
        self._dropped = dropped
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, work: Callable[[], None]) -> bool:
        """Take a piece of work; False if there is no room."""
        with self._wake:
            if len(self._queue) >= _MOST or self._stop:
                self._dropped()
                return False
            self._queue.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
                self._thread.start()
            self._wake.notify()
        return True

    def close(self, seconds: float = 5.0) -> None:
        """Do what is queued and stop."""
        with self._wake:
            self._stop = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._stop)
                if not self._queue:
                    return
                work = self._queue.popleft()
            work()
