"""Reception: the entrance that a spec describes, and what is read anew while it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hauberk.access.advance import Advance
from hauberk.access.certificate import Certificates
from hauberk.access.policy import Cedar, Policy, Roles
from hauberk.access.quota import Fallback, MemoryQuotas, QuotaRules, Quotas
from hauberk.access.tokens import KeySet, TokenRules, Tokens
from hauberk.adapters.local.files import read_file
from hauberk.adapters.local.quotas import SqliteQuotas
from hauberk.adapters.local.throttles import SharedThrottles, parse
from hauberk.core.errors import ConfigError, HauberkError
from hauberk.faces.gateway.entrance import Entrance
from hauberk.faces.gateway.identity import Proofs

if TYPE_CHECKING:
    from hauberk.access.keys import ApiKeys
    from hauberk.core.ports import GuardState
    from hauberk.core.spec import AccessSpec, QuotaSpec, Spec

_MAX_POLICY = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass
class Reception:
    """One entrance with its files: the policy, ``revoked-keys``, and who is throttled."""

    entrance: Entrance
    policy_file: Path | None
    revoked_file: Path
    throttles_file: Path | None = None
    shared: SharedThrottles | None = None
    _seen: dict[Path, bytes | None] = field(default_factory=dict)
    _held_at: int = 0

    def reload(self) -> list[str]:
        """Read what changed; returns what happened, a line each.

        A policy that is gone or wrong leaves the last good one in force. Revocations only that can
        be read count; a file that cannot be read leaves those known.
        """
        told = []
        for path, take in (
            (self.policy_file, self._policy),
            (self.revoked_file, self._revoked),
            (self.throttles_file, self._throttles),
        ):
            if path is None:
                continue
            try:
                data = read_file(path, limit=_MAX_POLICY)
                if path in self._seen and self._seen[path] == data:
                    continue
                self._seen[path] = data
                take(data, path)
                told.append(f"{path.name} read")
            except HauberkError as error:
                told.append(f"{path.name} not taken: {error}")
        if self.shared is not None:
            told += self._shared(self.shared)
        self.entrance.freshen()
        return told

    def hears(self) -> bool:
        """Whether the file of throttled clients was written since this was asked: one look."""
        try:
            at = self.throttles_file.stat().st_mtime_ns if self.throttles_file else 0
        except OSError:
            at = 0
        before, self._held_at = self._held_at, at
        return at != before

    def _shared(self, throttles: SharedThrottles) -> list[str]:
        """Take the clients that are held at all gateways; without an answer, those known stay."""
        try:
            held = {(one.tenant, one.principal): one.until for one in throttles.read()}
        except HauberkError as error:
            return [f"throttles not taken: {error}"]
        if held == self.entrance.held:
            return []
        self.entrance.hold(held)
        return ["throttles read"]

    def _policy(self, data: bytes | None, path: Path) -> None:
        self.entrance.policy = _cedar(data, path)

    def _throttles(self, data: bytes | None, path: Path) -> None:
        del path
        self.entrance.hold({(one.tenant, one.principal): one.until for one in parse(data or b"[]")})

    def _revoked(self, data: bytes | None, path: Path) -> None:
        del path
        text = (data or b"").decode("ascii", "replace")
        self.entrance.proofs.revoked = frozenset(_DIGEST.findall(text))


def receive(
    spec: Spec,
    *,
    state: Path,
    keys: ApiKeys,
    service: Path | None = None,
    shared: GuardState | None = None,
) -> Reception:
    """The reception of a spec; ``service`` and ``shared`` as for a gateway as a whole.

    Raises:
        ConfigError: if a part of it contradicts itself, or cannot be read.
    """
    access = spec.access
    operators = frozenset(access.operators)
    domain = access.spiffe_domain
    certificates = Certificates(domain=domain, operators=operators) if domain else None
    if certificates and not access.tls_client_ca:
        raise ConfigError("spiffe_domain needs tls_client_ca", where="access")
    if access.tls_client_required and not (access.tls_cert and access.tls_client_ca):
        raise ConfigError("tls_client_required needs tls_cert and tls_client_ca", where="access")
    policy_file = Path(access.policy) if access.policy else None
    policy: Policy = Roles()
    if policy_file:
        policy = _cedar(read_file(policy_file, limit=_MAX_POLICY), policy_file)
    entrance = Entrance(
        proofs=Proofs(keys=keys, certificates=certificates),
        policy=policy,
        data_class=access.data_class,
        rules=QuotaRules.of(spec.quota),
        # Gateways that share a file of this machine count together in another.
        quotas=_quotas(spec.quota, (service or state) if spec.share.backend == "sqlite" else state),
    )
    if access.issuer:
        _issuer(access, entrance)
    service = service or state
    reception = Reception(entrance, policy_file, service / "revoked-keys")
    if shared is not None:
        reception.shared = SharedThrottles(shared)
    else:
        reception.throttles_file = service / "throttles.json"
    reception.reload()
    return reception


def _issuer(access: AccessSpec, entrance: Entrance) -> None:
    if not (access.audience and access.jwks):
        raise ConfigError("an issuer needs an audience and jwks", where="access")
    try:
        import joserfc  # noqa: F401, PLC0415 - of an extra
    except ImportError:
        raise ConfigError(
            "joserfc is not installed", where="access.issuer", hint="pip install 'hauberk[access]'"
        ) from None
    from hauberk.adapters.upstream.jwks import Jwks, source  # noqa: PLC0415 - with the issuer

    rules = TokenRules(
        issuer=access.issuer,
        audience=access.audience,
        tenant_claim=access.tenant_claim,
        operators=frozenset(access.operators),
    )
    jwks = Jwks(source(access.jwks))
    entrance.proofs.tokens = Tokens(rules, KeySet({}))
    entrance.renew = lambda at, renew: jwks.load(at, renew=renew)


def _quotas(spec: QuotaSpec, state: Path) -> Quotas:
    if spec.backend == "memory":
        return MemoryQuotas()
    quotas: Quotas
    if spec.backend == "sqlite":
        quotas = SqliteQuotas(state / "quotas.db")
    else:
        from hauberk.adapters.redis.quotas import RedisQuotas  # noqa: PLC0415 - of an extra

        quotas = RedisQuotas(spec.redis)
    return Advance(Fallback(quotas) if spec.on_loss == "local" else quotas)


def _cedar(data: bytes | None, path: Path) -> Cedar:
    if data is None:
        raise ConfigError("no such file", where=str(path))
    try:
        return Cedar(data.decode(), where=str(path))
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8", where=str(path)) from None
