"""Afterwards: what a request leaves to do when its answer is gone.

A thread of its own takes the work from a bounded queue; what does not fit is dropped, and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 256


class Afterwards:
    """Runs pieces of work one after another; ``dropped`` is called when there is no room.

    There is room for ``most`` pieces, and for another while those waiting weigh ``heaviest`` bytes
    or less.
    """

    def __init__(
        self,
        *,
        name: str = "screen",
        most: int = _MOST,
        heaviest: int = 0,
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue: deque[tuple[Callable[[], None], int]] = deque()
        self._wake, self._stop = threading.Condition(), False
        self._name, self._most, self._heaviest, self._weight = name, most, heaviest, 0
        self._dropped = dropped
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, work: Callable[[], None], weight: int = 0) -> bool:
        """Take a piece of work that holds ``weight`` bytes; False if there is no room."""
        with self._wake:
            full = len(self._queue) >= self._most or self._weight > self._heaviest
            if full or self._stop:
                self._dropped()
                return False
            self._queue.append((work, weight))
            self._weight += weight
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
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
                work, weight = self._queue.popleft()
                self._weight -= weight
            work()
