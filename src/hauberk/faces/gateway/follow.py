"""One of several gateways of a service: it follows the routing that is ordered for all."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.kserve.replicas import FOLDER, share_of
from hauberk.adapters.local.files import read_file
from hauberk.adapters.local.sharing import ORDER
from hauberk.core.errors import ConfigError, EnvironmentFault, HauberkError
from hauberk.faces.gateway.pool import read_routing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hauberk.core.ports import GuardState, Routing
    from hauberk.faces.gateway.compose import Gateway
    from hauberk.faces.gateway.logs import Log
    from hauberk.faces.gateway.pool import Pool

_SECONDS = 0.25
_MAX_ORDERS = 1 << 16
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")


def replica_folder(state: Path, name: str) -> Path:
    """Where a replica keeps what is its own.

    Raises:
        ConfigError: if the name is not that of a pod.
    """
    if not _NAME.match(name) or ".." in name:
        raise ConfigError(f"not a replica's name: {name[:80]!r}", hint="a-z, 0-9, '.' and '-'")
    return state / FOLDER / name


@dataclass(frozen=True)
class OrdersFile:
    """Orders in a file of a folder that all gateways see."""

    path: Path

    def __call__(self) -> bytes | None:
        """The orders as they are now; None if there are none."""
        return read_file(self.path, limit=_MAX_ORDERS)


@dataclass
class SharedOrders:
    """Orders in the state that all gateways share.

    Where there are none, as before the first or after that state lost its memory, the gateway
    writes down what it followed last: at first what the ``file`` says.
    """

    state: GuardState
    file: Path
    _last: bytes | None = field(default=None, init=False)

    def __call__(self) -> bytes | None:
        """The orders as they are now; None if there never were any."""
        cell = self.state.cell(ORDER)
        if cell.version:
            self._last = cell.data
        else:
            self._last = self._last or read_file(self.file, limit=_MAX_ORDERS)
            if self._last:
                self.state.put(ORDER, self._last, over=0)
        return self._last


@dataclass
class Follower:
    """Reads the orders a few times a second, and puts what is new into force.

    With a ``digest`` the cluster splits the traffic, and this gateway is of one revision; without
    one it carries the whole routing out by itself. Orders that cannot be followed are told once
    and tried again; what is in force stays. But who gets no answer for ``patience`` seconds may
    have missed an order to contain: it goes to its twin until it hears again. Without a patience
    it never does. ``cut_off`` is told 1 then, and 0 afterwards.
    """

    orders: Callable[[], bytes | None]
    digest: str = ""
    patience: float | None = None
    clock: Callable[[], float] = time.monotonic
    cut_off: Callable[[int], None] = lambda _: None
    _done: bytes | None = field(default=None, init=False)
    _told: str = field(default="", init=False)
    _heard: float | None = field(default=None, init=False)
    _before: Routing | None = field(default=None, init=False)  # in force when it was cut off

    def step(self, pool: Pool, log: Log) -> None:
        """Follow the orders as they are now."""
        self._heard = self.clock() if self._heard is None else self._heard
        try:
            data = self.orders()
            self._heard = self.clock()
            self._follow(data, pool, log)
        except (HauberkError, OSError) as error:
            if str(error) != self._told:
                self._told = str(error)
                log.write("orders not followed", why=self._told)
            if isinstance(error, EnvironmentFault):
                self._contain(pool, log)

    async def run(self, gateway: Gateway) -> None:
        """Follow them until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await asyncio.to_thread(self.step, gateway.pool, gateway.log)

    def _follow(self, data: bytes | None, pool: Pool, log: Log) -> None:
        if self._before is not None and data in {None, self._done}:
            pool.arrange(self._before)
            self._heard_again(log)
        if data is None or data == self._done:
            return
        routing = read_routing(data, where="orders")
        mine = share_of(routing, self.digest) if self.digest else routing
        pool.arrange(mine)
        self._done, self._told, self._before = data, "", None
        self.cut_off(0)
        log.write("orders", mode=mine.mode, primary=mine.primary, canary=mine.canary)

    def _heard_again(self, log: Log) -> None:
        self._before, self._told = None, ""
        self.cut_off(0)
        log.write("orders heard again")

    def _contain(self, pool: Pool, log: Log) -> None:
        """Answer with the twin, since nobody says whether that was ordered."""
        silent = self.clock() - (self._heard or 0.0)
        lineup = pool.lineup
        if self.patience is None or silent < self.patience or self._before or lineup is None:
            return
        routing = lineup.routing
        if routing.mode != "normal" or routing.twin is None:
            return
        safe = msgspec.structs.replace(routing, mode="contained", canary=None, canary_share=0.0)
        try:
            pool.arrange(safe)
        except HauberkError as error:
            log.write("not contained", why=str(error))
            return
        self._before = routing
        self.cut_off(1)
        log.write("cut off", why=f"no orders for {silent:.0f} s", mode="contained")
