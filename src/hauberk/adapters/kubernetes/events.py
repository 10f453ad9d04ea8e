"""Events that ``kubectl describe`` shows: each message once, about one object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hauberk.adapters.kubernetes.kinds import EVENT
from hauberk.core.digest import digest_bytes, short

if TYPE_CHECKING:
    from hauberk.adapters.kubernetes.cluster import Cluster
    from hauberk.core.ports import Pager

MAX_MESSAGE = 1024  # what the API server takes
_COMPONENT = "hauberk-operator"


@dataclass(frozen=True, kw_only=True)
class EventPager:
    """A :class:`hauberk.core.ports.Pager` that writes events, and what else is to be told.

    ``about`` is a reference to the object that the events are shown with.
    """

    cluster: Cluster
    about: dict[str, Any]
    also: Pager

    def page(self, incident: str, message: str, *, at: float) -> None:
        """Tell it once per incident and message.

        Raises:
            EnvironmentFault: if the API server does not answer.
        """
        self.also.page(incident, message, at=at)
        reason = "LoopHalted" if "halted" in message else "Incident"
        self.tell(reason, message, at=at, key=f"{incident}:{message}", kind="Warning")

    def tell(self, reason: str, message: str, *, at: float, key: str, kind: str = "Normal") -> None:
        """One event; the same ``key`` is the same event."""
        name = self.about["name"][:200]
        when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        tree = {
            "metadata": {"name": f"{name}.{short(digest_bytes(key.encode()))}"},
            "involvedObject": self.about,
            "reason": reason,
            "message": message[:MAX_MESSAGE],
            "type": kind,
            "source": {"component": _COMPONENT},
            "firstTimestamp": when,
            "lastTimestamp": when,
            "count": 1,
        }
        self.cluster.create(EVENT, tree)
