"""CloudEvents out: evidence as events of the 1.0 specification, to a file or a webhook."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec

from hauberk.adapters.local.files import PRIVATE, append_lines, drop_torn_line, faults, make_folder
from hauberk.core.digest import digest_json
from hauberk.core.errors import EnvironmentFault, UserError
from hauberk.govern.decision import evidence_body

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.core.evidence import Evidence

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_SECONDS = 5.0


def event(evidence: Evidence, *, source: str, at: float) -> dict[str, Any]:
    """An event in the JSON format, ``source`` a URI reference; its id is that of its content."""
    data = evidence_body(evidence)
    return {
        "specversion": "1.0",
        "id": digest_json([source, at, data]).removeprefix("sha256:"),
        "source": source,
        "type": f"org.hauberk.evidence.{evidence.rule.lower()}",
        "subject": evidence.subject or "none",
        "time": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }


class Sink(Protocol):
    """Where events go."""

    def send(self, events: Sequence[dict[str, Any]]) -> None:
        """Deliver events in order.

        Raises:
            EnvironmentFault: if they cannot be delivered now.
        """


@dataclass(frozen=True)
class FileSink:
    """One event a line, as a Kafka producer reads them; on the disk when ``send`` returns."""

    path: Path

    def send(self, events: Sequence[dict[str, Any]]) -> None:
        """See :class:`Sink`."""
        if not events:
            return
        make_folder(self.path.parent)
        with faults(self.path):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, PRIVATE)
            try:
                drop_torn_line(descriptor)
                append_lines(
                    descriptor, b"".join(msgspec.json.encode(one) + b"\n" for one in events)
                )
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@dataclass(frozen=True)
class Webhook:
    """Posts each event in structured mode to an http or https URL.

    Raises:
        UserError: if the URL is of another kind.
    """

    url: str
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in {"http", "https"}:
            raise UserError(f"not an http or https URL: {self.url[:80]!r}")

    def send(self, events: Sequence[dict[str, Any]]) -> None:
        """See :class:`Sink`; what was posted before a fault stays posted."""
        headers = {"content-type": CONTENT_TYPE}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        try:
            with httpx.Client(trust_env=False, timeout=_SECONDS) as client:
                for one in events:
                    answer = client.post(
                        self.url, content=msgspec.json.encode(one), headers=headers
                    )
                    answer.raise_for_status()
        except httpx.HTTPError as error:
            raise EnvironmentFault(
                f"not delivered: {type(error).__name__}", where=self.url.split("?")[0][:120]
            ) from None
