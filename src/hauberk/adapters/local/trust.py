"""What may be served: unaltered, signed by a trusted key, not revoked. Anything else is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.core.digest import check_digest, digest_json, short
from hauberk.core.errors import Untrusted, UserError
from hauberk.govern.attest import Release, check_release, release, release_statement
from hauberk.govern.provenance import envelope_of
from hauberk.govern.provenance_family import bar

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.ports import Entry, Ledger, Signer, Store


@dataclass(frozen=True)
class Trust:
    """The three checks before a model is used, and the two entries that decide them.

    The ledger's whole chain is verified before the first digest is; after that each entry that is
    read is checked by itself.
    """

    store: Store
    ledger: Ledger
    signer: Signer
    _verified: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def verified(self, digest: str) -> Path:
        """The file of a digest that may be served.

        Raises:
            Untrusted: ``HB-S003`` if it was revoked, ``HB-S002`` if no trusted key signed its
                release, ``HB-S001`` if it or the ledger is missing or was altered.
            UserError: if ``digest`` is none.
        """
        self.grounds(digest)
        try:
            return self.store.path(digest)
        except UserError as error:
            raise Untrusted(
                f"HB-S001: {short(digest)} cannot be read", where=error.where, hint=error.hint
            ) from None

    def grounds(self, digest: str) -> Release:
        """The newest release of a digest that a trusted key signed and that was not revoked.

        Raises:
            Untrusted: if there is none, or the digest was revoked.
            UserError: if ``digest`` is none.
        """
        check_digest(digest)
        if not self._verified:
            self._verified.append(self.ledger.verify())
        self._refuse_revoked(digest)
        refusal: Untrusted | None = None
        for entry in reversed(self.ledger.entries(kind="signature", subject=digest)):
            try:
                return check_release(self.signer.verify(envelope_of(entry)), digest)
            except Untrusted as error:
                refusal = refusal or error
        raise Untrusted(
            f"HB-S002: {short(digest)} is not signed for serving"
            + (f" ({refusal.what.removeprefix('HB-S002: ')})" if refusal else ""),
            hint="`hauberk models register` signs a first model; `hauberk rule HB-S002` explains",
        )

    def sign(
        self,
        digest: str,
        predicate: Release | dict[str, Any],
        at: float,
        *,
        name: str = "model.onnx",
    ) -> Entry:
        """Sign the release of a digest and enter it; the same release again changes nothing.

        ``predicate`` holds the fields of :class:`hauberk.govern.attest.Release`; its time is set
        to ``at``, in seconds since the epoch.

        Raises:
            Untrusted: if the digest was revoked, or its file is missing or altered.
            DataError: if the grounds of the role are missing, as a verdict other than ``pass``.
        """
        given = predicate if isinstance(predicate, Release) else release(predicate)
        self._refuse_revoked(check_digest(digest))
        self.store.path(digest)
        lasting = msgspec.to_builtins(msgspec.structs.replace(given, at=0.0))
        statement = release_statement(digest, msgspec.structs.replace(given, at=at), name=name)
        return self.ledger.append(
            "signature",
            digest,
            {"envelope": msgspec.to_builtins(self.signer.sign(statement))},
            at=at,
            key=f"signature:{digest}:{self.signer.key_id}:{digest_json(lasting)}",
        )

    def revoke(self, digest: str, reason: str, at: float, *, descendants: bool = False) -> Entry:
        """Enter that a digest is never to be used again; no signature undoes it.

        With ``descendants`` all models that were made from it are refused as well, those of later
        too; what was made from a revoked dataset is refused in any case.
        """
        body: dict[str, Any] = {"reason": reason[:1000]}
        body |= {"descendants": True} if descendants else {}
        return self.ledger.append(
            "revocation",
            check_digest(digest),
            body,
            at=at,
            key=f"revocation:{digest}" + (":descendants" if descendants else ""),
        )

    def revoked(self, digest: str) -> bool:
        """Whether a digest was revoked."""
        return bool(self.ledger.entries(kind="revocation", subject=check_digest(digest)))

    def _refuse_revoked(self, digest: str) -> None:
        if why := bar(self.ledger, digest):
            raise Untrusted(
                f"HB-S003: {short(digest)} {why}",
                hint="serve another digest; a revocation is for good",
            )
