"""Several gateways of one service: the state that they share, and the orders given through it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import create_file, read_file, write_file
from hauberk.adapters.local.guard_state import SqliteGuardState
from hauberk.core.errors import ConfigError, DataError, EnvironmentFault
from hauberk.core.ports import Routing

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.trust import Trust
    from hauberk.core.ports import Deployer, GuardState, RecordSource
    from hauberk.core.spec import Spec

ORDER = "order"
"""The cell with the routing that is ordered for all gateways."""
FINGERPRINT = "fingerprint-key"
"""The cell with the key of the fingerprints, so that two gateways' resemble each other."""
_MARK = "shares"
_MAX_ROUTING = 1 << 16


def shared_state(spec: Spec, folder: Path) -> GuardState | None:
    """What the gateways of a service share, by its spec; None if they share nothing.

    Raises:
        ConfigError: if the service shared before and no longer does: its records are numbered
            otherwise, so that whoever watches it would pass over new ones.
    """
    share, mark = spec.share, folder / _MARK
    if share.backend == "off":
        if mark.exists():
            raise ConfigError(
                "the gateways of this service share their state",
                where="share.backend",
                hint="say which, or set the service up in another directory",
            )
        return None
    create_file(mark, b"")
    if share.backend == "sqlite":
        return SqliteGuardState(folder / "guard.db", room=share.records)
    from hauberk.adapters.redis.guard_state import RedisGuardState  # noqa: PLC0415 - of an extra

    service = share.service or spec.model.name
    return RedisGuardState(share.redis, service=service, room=share.records)


def fingerprint_key(service: Path, shared: GuardState | None) -> bytes:
    """The key of the service, made once: replicas that share something share it.

    The directory keeps a copy, so that a gateway starts while the shared state is away.

    Raises:
        EnvironmentFault: if it cannot be kept.
    """
    path = service / "fingerprint.key"
    create_file(path, secrets.token_bytes(32))
    key = read_file(path, limit=64) or b""
    if shared is not None:
        with suppress(EnvironmentFault):
            shared.put(FINGERPRINT, key, over=0)
            if (known := shared.cell(FINGERPRINT).data) != key:
                write_file(path, known)
                key = known
    return key


@dataclass(frozen=True)
class OrderDeployer:
    """A :class:`hauberk.core.ports.Deployer` for gateways that follow the shared state.

    It waits for none of them: one that is there follows within a second, one that is cut off does
    what ``share.on_loss`` says. The routing is kept in the state directory as well, for verbs that
    read it there.
    """

    state: GuardState
    folder: Path
    trust: Trust

    def route(self, routing: Routing) -> None:
        """Order a routing.

        Raises:
            Untrusted: if a digest may not be served.
            EnvironmentFault: if the shared state cannot be had.
        """
        for digest in filter(None, (routing.primary, routing.twin, routing.canary)):
            self.trust.verified(digest)
        if self.routing() != routing:
            data = msgspec.json.encode(routing)
            self.state.put(ORDER, data)
            write_file(self.folder / "routing.json", data)

    def routing(self) -> Routing | None:
        data = self.state.cell(ORDER).data
        data = data or read_file(self.folder / "routing.json", limit=_MAX_ROUTING) or b""
        try:
            return msgspec.json.decode(data, type=Routing) if data else None
        except (msgspec.DecodeError, RecursionError):
            raise DataError("not a routing", where=f"cell {ORDER}") from None


def leave(home: Home, spec: Spec, routing: Routing) -> None:
    """Leave a routing for the gateways that start next, and for those that share their state.

    Raises:
        EnvironmentFault: if it cannot be written.
    """
    data = msgspec.json.encode(routing)
    write_file(home.folder / "routing.json", data)
    if (state := shared_state(spec, home.folder)) is not None:
        state.put(ORDER, data)


@dataclass(frozen=True)
class Reach:
    """How a service on this machine is reached: its one gateway, or all by what they share."""

    home: Home
    spec: Spec

    @cached_property
    def state(self) -> GuardState | None:
        """What its gateways share; None with one gateway."""
        return shared_state(self.spec, self.home.folder)

    @property
    def records(self) -> RecordSource:
        """What its gateways told."""
        return self.state or self.home.records

    @property
    def deployer(self) -> Deployer:
        """What gives them orders."""
        if self.state is None:
            return self.home.deployer
        return OrderDeployer(self.state, self.home.folder, self.home.trust)
