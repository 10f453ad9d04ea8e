"""Pool: puts routings into force by swapping one reference, and withdraws what is revoked."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import read_file, write_file
from hauberk.core.digest import short
from hauberk.core.errors import EnvironmentFault, HauberkError, Untrusted
from hauberk.core.ports import Routing
from hauberk.faces.gateway.faults import BadRequest, Conflict, Fault, NotNow
from hauberk.faces.gateway.lineup import Lineup, check_routing
from hauberk.faces.gateway.screen import Screen
from hauberk.faces.gateway.served import Served
from hauberk.guard.calibration import Calibration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hauberk.faces.gateway.served import World

_MAX_FILE = 64 * 2**10
_PATIENCE = 5  # checks in a row that may fail for want of an answer before a model is withheld


def read_routing(data: bytes | memoryview, *, where: str = "routing") -> Routing:
    """Read a routing from JSON.

    Raises:
        BadRequest: if it is none, or contradicts itself.
    """
    try:
        routing = msgspec.json.decode(data, type=Routing)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"not a routing: {str(error)[:200]}", where=where) from None
    check_routing(routing)
    return routing


class Pool:
    """The lineup in force. A new one is loaded and warmed up while the old one answers.

    A request takes :attr:`lineup` once and keeps it, so that a swap never fails one; the old
    models leave the memory with the last request that holds them. ``changed`` is called after
    each swap.
    """

    def __init__(
        self,
        world: World,
        file: Path,
        *,
        max_rows: int = 1024,
        changed: Callable[[Lineup], None] = lambda _: None,
    ) -> None:
        self._world, self._file, self._max_rows, self._changed = world, file, max_rows, changed
        self._lineup: Lineup | None = None
        self._lock = threading.Lock()
        self._silent: dict[str, int] = {}
        self.may_return = False  # what could not be served did not answer; it may do so later
        self._reason = "no routing yet"

    @property
    def lineup(self) -> Lineup | None:
        """What is in force; None before the first routing."""
        return self._lineup

    @property
    def obstacle(self) -> str:
        """Why nothing is served now; empty while something is."""
        lineup = self._lineup
        if lineup is None:
            return self._reason
        if lineup.steady[1] is None:
            return next(iter(lineup.withheld.values()), "no model")
        return ""

    def restore(self) -> None:
        """Put the last routing into force again, verified anew.

        What cannot be verified is not served: the pool stays empty and :attr:`obstacle` says why.
        """
        self.may_return = False
        try:
            data = read_file(self._file, limit=_MAX_FILE)
            if data is not None:
                self._swap(read_routing(data, where=self._file.name))
        except HauberkError as error:
            self._miss(error)

    def begin(self, routing: Routing) -> None:
        """Put a first routing into force; as :meth:`restore`, it stays empty if that fails."""
        try:
            self._swap(routing, keep=True)
        except HauberkError as error:
            self._miss(error)

    def arrange(self, routing: Routing) -> Lineup:
        """Load, warm up, write down and put into force; the same routing again changes nothing.

        Raises:
            BadRequest: if the routing contradicts itself.
            Conflict: if one of its digests may not be served, or they do not go together.
            NotNow: if it cannot be verified or written down now; the old one stays in force.
        """
        check_routing(routing)
        return self._swap(routing, keep=True)

    def unload(self) -> None:
        """Serve nothing until :meth:`restore` or :meth:`arrange`; the routing stays written."""
        with self._lock:
            self._lineup, self._reason = None, "unloaded by an operator"
            self.may_return = False

    def recheck(self) -> dict[str, str]:
        """Verify again what is in force; returns what is withheld, by digest, with the reason.

        A check that gets no answer is borne a few times in a row, a refusal not once.
        """
        with self._lock:
            lineup = self._lineup
            if lineup is None:
                return {}
            withheld = {}
            for digest in {model.digest for model in lineup.models.values()}:
                if reason := self._objection(digest):
                    withheld[digest] = reason
            if withheld != lineup.withheld:
                self._put(replace(lineup, withheld=withheld))
            return withheld

    def _swap(self, routing: Routing, *, keep: bool = False) -> Lineup:
        with self._lock:
            try:
                lineup = self._assemble(routing)
                if keep and (self._lineup is None or self._lineup.routing != routing):
                    write_file(self._file, msgspec.json.encode(routing))
            except Fault:
                raise
            except (EnvironmentFault, OSError) as error:
                raise NotNow(str(error)) from None
            except HauberkError as error:
                raise Conflict(str(error), hint=error.hint) from None
            self._silent.clear()
            self._put(lineup)
            return lineup

    def _assemble(self, routing: Routing) -> Lineup:
        screen = None
        if routing.calibration:
            screen = Screen(Calibration.from_bytes(self._world.fetch(routing.calibration)))
        lineup = Lineup(
            routing=routing,
            primary=self._load(routing.primary),
            twin=self._load(routing.twin) if routing.twin else None,
            canary=self._load(routing.canary) if routing.canary else None,
            screen=screen,
        )
        for part, model in lineup.models.items():
            if not model.is_like(lineup.primary):
                raise Conflict(f"the {part} has another input shape or classes than the primary")
        return lineup

    def _load(self, digest: str) -> Served:
        for model in self._lineup.models.values() if self._lineup else ():
            if model.digest == digest:
                self._world.verify(digest)
                return model
        return Served.load(digest, self._world, max_rows=self._max_rows)

    def _objection(self, digest: str) -> str:
        try:
            self._world.verify(digest)
        except Untrusted as error:
            return str(error)
        except Exception as error:  # whatever it is, it is no verification
            silent = self._silent[digest] = self._silent.get(digest, 0) + 1
            return f"{short(digest)} cannot be verified: {error}" if silent >= _PATIENCE else ""
        self._silent.pop(digest, None)
        return ""

    def _miss(self, error: HauberkError) -> None:
        self._reason, self.may_return = str(error), isinstance(error, NotNow)

    def _put(self, lineup: Lineup) -> None:
        self._lineup, self.may_return = lineup, False
        self._changed(lineup)
