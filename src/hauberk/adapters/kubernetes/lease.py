"""Who leads: a ``Lease`` that one process holds and renews, and another may take once it is old."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hauberk.adapters.kubernetes.kinds import LEASE
from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.adapters.kubernetes.cluster import Cluster


@dataclass
class Leadership:
    """A candidate for a lease of ``seconds``.

    Whether a lease is old is told by our own clock: it is when we have seen no renewal for its
    whole length. So clocks need not agree, only run at the same speed. Each write goes through
    only if nobody wrote since we read, so that of two who find it old one wins.
    """

    cluster: Cluster
    name: str
    identity: str
    seconds: int = 15
    clock: Callable[[], float] = time.monotonic
    _seen: tuple[str, float] = field(default=("", 0.0), init=False)
    _held: float = field(default=float("-inf"), init=False)

    @property
    def holds(self) -> bool:
        """Whether nobody else can have taken it yet."""
        return self.remaining > 0

    @property
    def remaining(self) -> float:
        """Seconds until somebody else may take it."""
        return self._held + self.seconds - self.clock()

    def attempt(self) -> bool:
        """Take or renew the lease; whether it is ours now.

        Raises:
            EnvironmentFault: if the API server does not answer; what is held stays held.
        """
        began = self.clock()
        lease = self.cluster.get(LEASE, self.name)
        if lease is None:
            if self.cluster.create(LEASE, self._tree({}, transitions=0)):
                self._held = began
            return self.holds
        spec = lease.get("spec", {})
        holder, version = spec.get("holderIdentity"), lease["metadata"]["resourceVersion"]
        if holder not in {self.identity, "", None} and not self._is_old(version, spec):
            self._held = float("-inf")
            return False
        turns = int(spec.get("leaseTransitions") or 0) + (holder != self.identity)
        if self.cluster.replace(LEASE, self._tree(lease["metadata"], transitions=turns)):
            self._held = began
        return self.holds

    def wait(self, stop: Callable[[float], bool]) -> bool:
        """Try until the lease is ours, or ``stop(pause)`` says to end; whether it is ours."""
        while True:
            try:
                if self.attempt():
                    return True
            except EnvironmentFault:
                pass  # it is asked again
            if stop(self.seconds / 5):
                return False

    def release(self) -> None:
        """Let the next one have it at once."""
        lease = self.cluster.get(LEASE, self.name)
        if lease and lease.get("spec", {}).get("holderIdentity") == self.identity:
            lease["spec"]["holderIdentity"] = ""
            self.cluster.replace(LEASE, lease)
        self._held = float("-inf")

    def _is_old(self, version: str, spec: dict[str, Any]) -> bool:
        now = self.clock()
        if self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] > float(spec.get("leaseDurationSeconds") or self.seconds)

    def _tree(self, metadata: dict[str, Any], *, transitions: int) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        kept = {key: metadata[key] for key in ("resourceVersion",) if key in metadata}
        return {
            "metadata": {"name": self.name, **kept},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.seconds,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
