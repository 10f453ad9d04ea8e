"""Workers: a few threads that run models, so that the event loop stays free, and a short queue."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from hauberk.faces.gateway.faults import NotNow

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Workers:
    """Runs calls on ``threads``; at most ``queue`` more wait, any further one is turned away.

    To be used from one event loop. What was started is finished even if its caller went away.
    """

    def __init__(self, *, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._limit = threads + queue
        self.busy = 0

    async def run(self, call: Callable[[], T]) -> T:
        """The result of ``call()``, made on one of the threads.

        Raises:
            NotNow: if the queue is full.
        """
        if self.busy >= self._limit:
            raise NotNow("too many requests at once")
        self.busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        self._pool.shutdown(wait=True)

    def _done(self, future: asyncio.Future[T]) -> None:
        self.busy -= 1
        if not future.cancelled():
            future.exception()  # seen here, in case nobody waits any more
