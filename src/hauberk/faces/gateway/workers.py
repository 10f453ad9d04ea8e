"""Workers: a few threads that run models, so that the event loop stays free, and a short queue."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hauberk.faces.gateway.faults import NotNow

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Workers:
    """Runs calls on ``threads``; at most ``queue`` more wait, any further one is turned away.

    To be used from one event loop. What was started is finished even if its caller went away.
    """

    def __init__(self, *, threads: int, queue: int, inline_seconds: float = 0.0) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._limit = threads + queue
        self.busy = 0
        self._inline = inline_seconds
        self._typical = self._last = 2 * inline_seconds

    async def run(self, call: Callable[[], T], *, small: bool = False) -> T:
        """The result of ``call()``, made on one of the threads.

        A ``small`` call is made at once on the event loop while such calls take less than
        ``inline_seconds``: handing it to a thread would take longer than the call.

        Raises:
            NotNow: if the queue is full.
        """
        if self.busy >= self._limit:
            raise NotNow("too many requests at once")
        if small and self._inline and self._typical < self._inline:
            return self._timed(call, time.perf_counter)
        self.busy += 1
        if small and self._inline:
            # By its own work: how long it waits for a core or the interpreter says nothing of the
            # model, and on a busy machine nothing would come back to the event loop.
            call = partial(self._timed, call, time.thread_time)
        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _timed(self, call: Callable[[], T], clock: Callable[[], float]) -> T:
        started = clock()
        try:
            return call()
        finally:
            took = clock() - started
            # Quick to leave the event loop, slow to come back to it; but one slow call between
            # quick ones is the machine's, not the model's.
            seen, self._last = min(took, self._last), took
            weight = 0.5 if seen > self._inline else 0.05
            self._typical += weight * (seen - self._typical)

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._pool.shutdown(wait=True)

    def _done(self, future: asyncio.Future[T]) -> None:
        self.busy -= 1
        if not future.cancelled():
            future.exception()  # seen here, in case nobody waits any more
