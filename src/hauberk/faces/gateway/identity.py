"""Who asks: bearer tokens, known only by their digests."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hauberk.core.errors import ConfigError
from hauberk.faces.gateway.faults import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.spec import ClientSpec

Role = Literal["client", "operator"]
_BEARER = re.compile(rb"(?i:bearer) +([\x21-\x7e]{1,512}) *\Z")


@dataclass(frozen=True)
class Principal:
    """A known client and its role; an operator may do all that a client may."""

    name: str
    role: Role

    def need(self, role: Role) -> None:
        """Refuse unless the role suffices.

        Raises:
            Forbidden: if it does not.
        """
        if role == "operator" and self.role != "operator":
            raise Forbidden("this token's role does not allow it")


class Clients:
    """The known tokens. A lookup compares with every one of them, in the same time for each.

    Raises:
        ConfigError: if two clients share a name or a token.
    """

    def __init__(self, specs: Sequence[ClientSpec]) -> None:
        for kind in ("name", "token_sha256"):
            if len({getattr(spec, kind) for spec in specs}) < len(specs):
                raise ConfigError(f"two clients have the same {kind}", where="serve.clients")
        self._known = tuple(
            (bytes.fromhex(spec.token_sha256.removeprefix("sha256:")), spec.name, spec.role)
            for spec in specs
        )

    def __len__(self) -> int:
        return len(self._known)

    def identify(self, authorization: bytes | None) -> Principal:
        """The client of an ``Authorization`` header.

        Raises:
            Unauthenticated: if there is no bearer token, or none that is known.
        """
        match = _BEARER.match(authorization or b"")
        if not match:
            raise Unauthenticated("a bearer token is needed")
        given = hashlib.sha256(match[1]).digest()
        found: Principal | None = None
        for digest, name, role in self._known:
            if hmac.compare_digest(digest, given):
                found = Principal(name, role)
        if found is None:
            raise Unauthenticated("the token is not known")
        return found
