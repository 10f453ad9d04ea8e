"""The certificate of the gateway, taken anew when its files change."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hauberk.core.spec import AccessSpec


@dataclass
class Certificate:
    """Renews ``context`` in place: connections that stand keep what they began with.

    A pair that cannot be loaded, as one half written, leaves the last good one in force.
    """

    access: AccessSpec
    context: ssl.SSLContext
    _seen: tuple[tuple[int, int], ...] = field(default=())

    def __post_init__(self) -> None:
        self._seen = self._stamps()

    def renew(self) -> list[str]:
        """What happened, a line each."""
        now = self._stamps()
        if now == self._seen:
            return []
        try:
            # A trial first: a context that took the chain and not the key would serve neither.
            trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            for context in (trial, self.context):
                context.load_cert_chain(self.access.tls_cert, self.access.tls_key or None)
        except (OSError, ssl.SSLError) as error:
            return [f"certificate not taken: {error}"]
        self._seen = now
        return ["certificate taken"]

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        found = []
        for name in (self.access.tls_cert, self.access.tls_key or self.access.tls_cert):
            try:
                status = Path(name).stat()
            except OSError:
                continue
            found.append((status.st_ino, status.st_mtime_ns))
        return tuple(found)
