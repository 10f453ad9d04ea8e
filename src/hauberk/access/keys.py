"""API keys: long random tokens, known only by their digests."""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hauberk.access.principal import ACTIONS, Principal
from hauberk.access.refusal import Stranger
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.spec import ClientSpec

RESERVED = ("oidc:", "spiffe:")  # names of other proofs, lest a key passes for one


@dataclass(frozen=True)
class ApiKey:
    """One key: its digest, whose it is, and when it ends, in seconds since the epoch."""

    digest: bytes
    principal: Principal
    expires: float = math.inf


class ApiKeys:
    """The known keys. Looking one up costs the same with ten of them as with a hundred thousand.

    A table by digest tells a guesser nothing by its timing: whose token is random cannot be
    approached by digests that nearly match.

    Raises:
        ConfigError: if two clients share a name or a key, or one of them is described wrongly.
    """

    def __init__(self, specs: Sequence[ClientSpec]) -> None:
        for kind in ("name", "token_sha256"):
            if len({getattr(spec, kind) for spec in specs}) < len(specs):
                raise ConfigError(f"two clients have the same {kind}", where="serve.clients")
        found = [_read(spec) for spec in specs]
        self._known = {key.digest: key for key in found}

    def __len__(self) -> int:
        return len(self._known)

    def identify(
        self, token: bytes, *, at: float, revoked: frozenset[str] = frozenset()
    ) -> Principal:
        """The owner of a token, unless it ended or its digest is revoked.

        Raises:
            Stranger: if it is not known, or no longer good.
        """
        digest = hashlib.sha256(token).digest()
        key = self._known.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            raise Stranger("the token is not known")
        if at >= key.expires or (revoked and f"sha256:{digest.hex()}" in revoked):
            raise Stranger("the token is no longer good")
        return key.principal


def _read(spec: ClientSpec) -> ApiKey:
    where = f"serve.clients: {spec.name[:80]}"
    if spec.name.startswith(RESERVED):
        raise ConfigError(f"a client's name may not begin with {RESERVED[0]} or {RESERVED[1]}")
    if unknown := set(spec.scopes) - set(ACTIONS):
        raise ConfigError(
            f"unknown scope {min(unknown)[:80]!r}", where=where, hint=f"known: {', '.join(ACTIONS)}"
        )
    return ApiKey(
        digest=bytes.fromhex(spec.token_sha256.removeprefix("sha256:")),
        principal=Principal(
            spec.name, spec.role, spec.tenant, frozenset(spec.scopes) if spec.scopes else None
        ),
        expires=_moment(spec.expires, where) if spec.expires else math.inf,
    )


def _moment(text: str, where: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"cannot read the moment {text[:40]!r}", where=where, hint="write it as 2030-12-31"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
