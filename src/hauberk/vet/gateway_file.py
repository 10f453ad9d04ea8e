"""Settings of a gateway of ours: quotas, blunted answers, encrypted lines.

The same tree is a ``hauberk.toml`` and the ``spec`` of a ``ModelShield``. What variables and flags
change at the start of a gateway is not seen here.
"""

from __future__ import annotations

import re
import tomllib
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from hauberk.core.errors import ConfigError
from hauberk.core.evidence import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.core.spec import Spec
    from hauberk.vet.case import Case

_TABLE = re.compile(
    r"^[ \t]*(\[{1,2}[ \t]*)?(serve|access|quota|seal|upstream)[ \t]*[.\]=]", re.MULTILINE
)
_NAME = re.compile(r"(^|[/!#])hauberk\.toml\Z")
_SAFE_MODES = frozenset({"require", "verify-ca", "verify-full"})


def vet_gateway(text: str, case: Case, where: str) -> bool:
    """Examine a text of settings; False if it is not the spec of a gateway."""
    ours = bool(_NAME.search(where))
    if not ours and not _TABLE.search(text):
        return False
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if ours:
            case.gap(f"the TOML cannot be read: {str(error)[:100]}", where)
        return ours
    return vet_spec(tree, case, where) or ours


def vet_spec(tree: dict[str, Any], case: Case, where: str) -> bool:
    """Examine a tree of settings; False, and a gap, if it is not a spec."""
    from hauberk.core.spec import parse_spec  # noqa: PLC0415 - for such files alone

    try:
        spec = parse_spec(tree, where=where)
    except ConfigError as error:
        if _NAME.search(where) or "#ModelShield" in where:
            case.gap(f"it is not a sound spec: {error.what[:200]}", where)
        return False
    case.traits.add("gateway")
    quota = spec.quota
    if not any((quota.requests_per_second, quota.rows_per_second, quota.rows_per_day)):
        case.find("HB-V111", "no quota of requests or rows bounds a client", where)
    if spec.serve.round_digits is None and spec.serve.top_k is None:
        case.find("HB-V112", "clients see every score in full", where)
    for told in _plain_lines(spec):
        case.find("HB-V113", told, where, Severity.HIGH)
    return True


def _plain_lines(spec: Spec) -> Iterator[str]:
    """Where something travels beyond this host that anyone on the way can read."""
    if not _near(spec.serve.host) and not spec.access.tls_cert:
        yield f"the gateway on {spec.serve.host} speaks no TLS (access.tls_cert)"
    for key, url in (("upstream.url", spec.upstream.url), ("trace.endpoint", spec.trace.endpoint)):
        if _plain(url, "http", "grpc"):
            yield f"{key} is not https"
    if spec.quota.backend == "redis" and _plain(spec.quota.redis, "redis"):
        yield "quota.redis is not rediss"
    ledger = urlsplit(spec.state.ledger)
    modes = parse_qs(ledger.query).get("sslmode", ["prefer"])
    if ledger.hostname and not _near(ledger.hostname) and modes[-1] not in _SAFE_MODES:
        yield "state.ledger does not insist on TLS (sslmode=verify-full)"


def _plain(url: str, *schemes: str) -> bool:
    parts = urlsplit(url)
    bare = not parts.scheme or "://" not in url  # HOST:PORT, as gRPC writes it
    if not url or (not bare and parts.scheme not in schemes):
        return False
    return not _near((parts.hostname if not bare else url.rpartition(":")[0]) or "")


def _near(host: str) -> bool:
    """Whether a host is this one, by its name alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
