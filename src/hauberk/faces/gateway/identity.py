"""Who asks: the proof that a request carries, held against the keys, the issuer and the domain."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hauberk.access.keys import ApiKeys
from hauberk.access.principal import Principal
from hauberk.access.refusal import Stranger, UnknownKey
from hauberk.access.tokens import FORM
from hauberk.faces.gateway.faults import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hauberk.access.certificate import Certificates
    from hauberk.access.tokens import Tokens
    from hauberk.core.spec import ClientSpec

__all__ = ["Clients", "Principal", "Proofs"]

_BEARER = re.compile(rb"(?i:bearer) +([\x21-\x7e]{1,16384}) *\Z")
_LONGEST_KEY = 512


class Clients(ApiKeys):
    """The clients of ``serve.clients``; raises as :class:`ApiKeys` does."""

    def __init__(self, specs: Sequence[ClientSpec]) -> None:
        super().__init__(specs)
        self.count = len(specs)


@dataclass
class Proofs:
    """Every proof that is accepted. A bearer token goes before the connection's certificate."""

    keys: ApiKeys
    tokens: Tokens | None = None
    certificates: Certificates | None = None
    revoked: frozenset[str] = frozenset()
    clock: Callable[[], float] = field(default=time.time)

    def identify(
        self, authorization: bytes | None, certificate: Mapping[str, Any] | None = None
    ) -> Principal:
        """The principal of an ``Authorization`` header, or of a verified certificate.

        Raises:
            UnknownKey: if a token names a key that is not known yet.
            Unauthenticated: if there is no proof, or none that is accepted.
        """
        at = self.clock()
        try:
            if authorization is None and certificate and self.certificates:
                return self.certificates.identify(certificate)
            match = _BEARER.match(authorization or b"")
            if not match:
                raise Unauthenticated("a bearer token is needed")
            token = match[1]
            if self.tokens and FORM.match(token):
                return self.tokens.identify(token, at=at)
            if len(token) > _LONGEST_KEY:
                raise Unauthenticated("the token is not known")
            return self.keys.identify(token, at=at, revoked=self.revoked)
        except UnknownKey:
            raise
        except Stranger as error:
            raise Unauthenticated(error.what) from None
