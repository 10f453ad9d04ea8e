"""Certificates: the SPIFFE id of a client certificate that TLS has verified (SPIFFE-ID, 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hauberk.access.principal import Principal
from hauberk.access.refusal import Stranger

if TYPE_CHECKING:
    from collections.abc import Mapping

_ID = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[a-zA-Z0-9._-]+)+)\Z")


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Accepts the ids of one trust domain; the path's first part names the tenant after ``ns``."""

    domain: str
    operators: frozenset[str] = frozenset()

    def identify(self, certificate: Mapping[str, Any]) -> Principal:
        """The holder of a certificate, as :meth:`ssl.SSLSocket.getpeercert` describes it.

        Raises:
            Stranger: unless it has exactly one URI, which is an id of the domain.
        """
        names = certificate.get("subjectAltName", ())
        ids = [value for kind, value in names if kind == "URI"]
        match = _ID.match(ids[0]) if len(ids) == 1 and len(ids[0]) <= 2048 else None
        if match is None or match[1] != self.domain:
            raise Stranger("the certificate holds no id of our trust domain")
        parts = match[2].split("/")[1:]
        if {".", ".."} & set(parts):
            raise Stranger("the certificate holds no id of our trust domain")
        tenant = parts[1] if parts[0] == "ns" and len(parts) > 1 else "default"
        role = "operator" if ids[0] in self.operators else "client"
        return Principal(ids[0], role, tenant, None, "certificate")  # type: ignore[arg-type]
