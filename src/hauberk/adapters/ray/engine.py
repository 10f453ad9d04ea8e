"""An engine for shards of work on Ray: tasks that are done again where a worker died."""

from __future__ import annotations

import os
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.local.pool import Reply
from hauberk.core.errors import ConfigError, EnvironmentFault, UserError
from hauberk.core.ports import Shard, Work
from hauberk.core.sharding import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Ray:
    """``workers`` tasks at a time, of one core each, on a cluster.

    ``address`` is the cluster's, as ``ray.init`` takes it; empty is that of ``RAY_ADDRESS``, and
    without one a cluster of this machine that ends with the work. A shard is given up after
    ``attempts`` workers died of it. Whoever reaches a Ray cluster can run code on it: between our
    processes go bytes that no one unpickles, but Ray itself trusts its own.

    Raises:
        UserError: if a number is below 1.
    """

    workers: int = 2
    attempts: int = 3
    address: str = ""

    def __post_init__(self) -> None:
        if min(self.workers, self.attempts) < 1:
            raise UserError(f"no work is done by {self.workers} workers")

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, bytes]]:
        """See :class:`hauberk.core.ports.Executor`."""
        if not shards:
            return
        with self._joined() as ray:
            task = ray.remote(num_cpus=1, max_retries=0)(_do)
            order = msgspec.msgpack.encode(work)
            waiting, deaths = deque(shards), Counter[Shard]()
            running: dict[Any, Shard] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < self.workers:
                        shard = waiting.popleft()
                        running[task.remote(order, msgspec.msgpack.encode(shard))] = shard
                    ready, _ = ray.wait(list(running), num_returns=1)
                    shard = running.pop(ready[0])
                    reply = _reply(ray, ready[0])
                    if reply is not None:
                        yield shard, reply.taken()
                        continue
                    deaths[shard] += 1
                    if deaths[shard] >= self.attempts:
                        raise EnvironmentFault(
                            f"the worker at samples {shard.start} to {shard.stop} died "
                            f"{self.attempts} times",
                            where="ray",
                            hint="out of memory? `ray status` and the worker's log say more",
                        )
                    waiting.appendleft(shard)
            finally:
                for left in running:
                    ray.cancel(left, force=True)

    @contextmanager
    def _joined(self) -> Iterator[ModuleType]:
        """Ray, joined; left again unless the caller's process had joined before."""
        ray = _ray()
        if ray.is_initialized():
            yield ray
            return
        address = self.address or os.environ.get("RAY_ADDRESS", "") or "local"
        own = {"num_cpus": self.workers, "include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EnvironmentFault(
                f"cannot be joined: {str(error).splitlines()[0][:160]}",
                where=f"ray at {address}",
                hint="RAY_ADDRESS names a cluster; without it one is started here",
            ) from None
        try:
            yield ray
        finally:
            ray.shutdown()


_opened: dict[bytes, Callable[[Shard], bytes]] = {}
"""What this worker has opened; a worker serves one driver."""


def _do(order: bytes, shard: bytes) -> bytes:
    """One shard, in a worker; whatever happens is replied."""
    try:
        if order not in _opened:
            _opened.clear()
            _opened[order] = opened(msgspec.msgpack.decode(order, type=Work))
        reply = Reply(result=_opened[order](msgspec.msgpack.decode(shard, type=Shard)))
    except Exception as error:  # the driver must hear of it
        reply = Reply.of(error)
    return msgspec.msgpack.encode(reply)


def _reply(ray: ModuleType, reference: Any) -> Reply | None:
    """What a task replied; None if its worker or its machine died."""
    lost = ray.exceptions
    try:
        return msgspec.msgpack.decode(ray.get(reference, timeout=_PATIENCE), type=Reply)
    except _deaths(lost):
        return None
    except lost.RayError as error:
        raise EnvironmentFault(
            f"{type(error).__name__}: {str(error).splitlines()[0][:160]}", where="ray"
        ) from None


def _deaths(known: Any) -> tuple[type[Exception], ...]:
    return (
        known.WorkerCrashedError,
        known.NodeDiedError,
        known.OutOfMemoryError,
        known.ObjectLostError,
        known.LocalRayletDiedError,
    )


def _ray() -> ModuleType:
    try:
        import ray  # noqa: PLC0415 - of an extra
    except ImportError:
        raise ConfigError(
            "Ray is not installed", where="engine", hint="pip install 'hauberk[ray]'"
        ) from None
    module: ModuleType = ray
    return module
