"""The registry follows the loop: after each promotion and each trial it is brought in line."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hauberk.adapters.mlflow.mirror import mirror
from hauberk.adapters.mlflow.registry import MlflowRegistry
from hauberk.core.errors import HauberkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.ports import Ledger, Routing, Store
    from hauberk.core.spec import Spec

Pair = tuple[str, str | None]
"""Who serves and who is tried: all that a registry shows of a routing."""


@dataclass
class Following:
    """A thread that mirrors into MLflow what the loop says, so that the loop waits for nobody.

    ``open`` gives the registry. What stands in the way is told once in a row and tried again after
    ``pause`` seconds; a registry that is away takes nothing from the service.
    """

    name: str
    open: Callable[[], MlflowRegistry]
    ledger: Ledger
    store: Store
    trust: Any
    tell: Callable[[str], None] = lambda _: None
    pause: float = 30.0
    _wanted: Pair | None = field(default=None, init=False)
    _done: Pair | None = field(default=None, init=False)
    _told: str = field(default="", init=False)
    _wake: threading.Event = field(default_factory=threading.Event, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def see(self, routing: Routing) -> None:
        """The routing as it is now; one that shows the registry nothing new costs nothing."""
        pair = (routing.primary, routing.canary)
        if pair != self._wanted:
            self._wanted = pair
            self._wake.set()

    def close(self) -> None:
        """End; what is under way is left to end by itself."""
        self._stop.set()
        self._wake.set()

    def step(self) -> bool:
        """Mirror what was seen last; whether the registry is in line.

        A routing counts once the ledger has it, which may be a moment later.

        Raises:
            HauberkError: what stands in the way.
        """
        wanted = self._wanted
        if wanted is None or wanted == self._done:
            return True
        entries = self.ledger.entries(kind="deployment")
        body = entries[-1].body if entries else {}
        if (body.get("primary"), body.get("canary")) != wanted:
            return False
        mirror(self.open(), self.name, ledger=self.ledger, store=self.store, trust=self.trust)
        self._done = wanted
        return wanted == self._wanted

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            while not self._stop.is_set() and not self._tried():
                self._stop.wait(self.pause if self._told else min(1.0, self.pause))

    def _tried(self) -> bool:
        try:
            done = self.step()
        except (HauberkError, OSError) as error:
            if str(error) != self._told:
                self._told = str(error)
                self.tell(f"the registry is not in line: {self._told}")
            return False
        self._told = ""
        return done


def following(
    spec: Spec, *, ledger: Ledger, store: Store, trust: Any, tell: Callable[[str], None]
) -> Following | None:
    """What keeps the registry that a spec names in line; None where it names none."""
    said = spec.registry
    if not said.mlflow:
        return None
    return Following(
        name=said.name or spec.model.name,
        open=lambda: MlflowRegistry(said.mlflow),
        ledger=ledger,
        store=store,
        trust=trust,
        tell=tell,
    )
