"""What kopf calls: thin translations of the cluster's events into rounds of shields."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import kopf
import msgspec

from hauberk.adapters.kubernetes.kinds import GROUP, JOB, LABEL, SERVICE, SHIELD, TRAIN_JOB
from hauberk.core.errors import HauberkError
from hauberk.faces.operator.shield import Shield
from hauberk.loop.turns import Rival

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.adapters.kubernetes.cluster import Cluster
    from hauberk.faces.operator.shield import Defaults
    from hauberk.faces.operator.tell import Teller

PAUSE = 1.0
"""Seconds between two rounds of a shield in which nothing woke it."""
_MOST_SHIELDS = 1000
_RETRY_SECONDS = 2.0


@dataclass(kw_only=True)
class Watchhouse:
    """All shields of this operator, by name; ``fail`` ends the process."""

    cluster: Cluster
    defaults: Defaults
    tell: Teller
    fail: Callable[[str], None]
    shields: dict[str, Shield] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def shield(self, tree: dict[str, Any]) -> Shield:
        """The shield of an object; a new one where the object is another of the same name."""
        name = tree["metadata"]["name"]
        with self._lock:
            if name not in self.shields:
                self.shields[name] = Shield(tree, self.cluster, self.defaults)
            return self.shields[name]

    def wake(self, name: str, *, service: bool = False) -> None:
        """Something of a shield's changed, its ``service`` or a job or the object itself."""
        if shield := self.shields.get(name):
            (shield.look_again if service else shield.wake.set)()

    def forget(self, name: str) -> None:
        """The object is gone."""
        with self._lock:
            self.shields.pop(name, None)


def register(house: Watchhouse) -> kopf.OperatorRegistry:
    """The handlers of one operator."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.finalizer = f"{GROUP}/shield"
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
        settings.posting.enabled = False  # our events say more
        settings.execution.executor = ThreadPoolExecutor(max_workers=_MOST_SHIELDS)
        settings.watching.server_timeout = 300
        settings.scanning.disabled = True  # else it needs rights on the whole cluster

    @kopf.on.login(registry=registry)
    def login(**given: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)

    @kopf.daemon(
        SHIELD.group,
        SHIELD.version,
        SHIELD.plural,
        registry=registry,
        cancellation_backoff=0.5,  # it sees the flag within a tenth of a second
        cancellation_timeout=10.0,
    )
    def guard(body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:
        """Round after round, until the object or the operator goes."""
        shield = house.shield(_tree(body))
        while not stopped:
            shield.wake.clear()
            began = time.monotonic()
            try:
                shield.round(_tree(body))
            except Rival as error:
                house.fail(str(error))
                return
            house.tell.round(shield.name, time.monotonic() - began)
            _pause(shield, stopped)

    @kopf.on.delete(SHIELD.group, SHIELD.version, SHIELD.plural, registry=registry)
    def release(body: kopf.Body, **_: Any) -> None:
        """Give the InferenceService back before the object goes."""
        shield = house.shield(_tree(body))
        try:
            shield.close()
        except HauberkError as error:
            raise kopf.TemporaryError(str(error), delay=_RETRY_SECONDS) from None
        house.forget(shield.name)

    @kopf.on.event(SHIELD.group, SHIELD.version, SHIELD.plural, registry=registry)
    def changed(name: str | None, **_: Any) -> None:
        house.wake(name or "")

    for kind in (SERVICE, TRAIN_JOB, JOB):

        @kopf.on.event(
            kind.group,
            kind.version,
            kind.plural,
            labels={LABEL: kopf.PRESENT},
            registry=registry,
            id=kind.plural,
        )
        def touched(labels: kopf.Labels, resource: kopf.Resource, **_: Any) -> None:
            house.wake(labels.get(LABEL, ""), service=resource.plural == SERVICE.plural)

    return registry


def _pause(shield: Shield, stopped: kopf.DaemonStopped) -> None:
    """Wait for the next round, in steps short enough to end in time."""
    deadline = time.monotonic() + PAUSE
    while time.monotonic() < deadline and not stopped:
        if shield.wake.wait(0.1):
            return


def _tree(body: kopf.Body) -> dict[str, Any]:
    """The object as it is now, as plain values of our own."""
    tree: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(_plain(body)))
    return tree


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if hasattr(value, "items"):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
