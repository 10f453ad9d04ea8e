"""One of several gateways of a service: it follows the routing that is ordered for all."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.adapters.kserve.replicas import FOLDER, share_of
from hauberk.adapters.local.files import read_file
from hauberk.core.errors import ConfigError, HauberkError
from hauberk.faces.gateway.pool import read_routing

if TYPE_CHECKING:
    from pathlib import Path

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


@dataclass
class Follower:
    """Reads the orders a few times a second, and puts what is new into force.

    With a ``digest`` the cluster splits the traffic, and this gateway is of one revision; without
    one it carries the whole routing out by itself. Orders that cannot be followed are told once
    and tried again; what is in force stays.
    """

    orders: Path
    digest: str = ""
    _done: bytes | None = field(default=None, init=False)
    _told: str = field(default="", init=False)

    def step(self, pool: Pool, log: Log) -> None:
        """Follow the orders as they are now."""
        try:
            data = read_file(self.orders, limit=_MAX_ORDERS)
            if data is None or data == self._done:
                return
            routing = read_routing(data, where=self.orders.name)
            mine = share_of(routing, self.digest) if self.digest else routing
            pool.arrange(mine)
        except (HauberkError, OSError) as error:
            if str(error) != self._told:
                self._told = str(error)
                log.write("orders not followed", why=self._told)
            return
        self._done, self._told = data, ""
        log.write("orders", mode=mine.mode, primary=mine.primary, canary=mine.canary)

    async def run(self, gateway: Gateway) -> None:
        """Follow them until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await asyncio.to_thread(self.step, gateway.pool, gateway.log)
