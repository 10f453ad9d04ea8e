"""The owner's consent that an endpoint may be attacked: a signed token that runs out."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from hauberk.core.errors import DataError, NoConsent, Untrusted
from hauberk.core.ports import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.ports import Signer

CONSENT = "https://hauberk.dev/consent/v1"
MAX_TEXT = 16384
_HINT = "the owner makes one with `hauberk consent` and serves it"
Scope = Literal["evasion"]


class Consent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The owner of ``model`` at ``host`` agrees to be attacked until ``not_after``.

    ``not_after`` is in seconds since the epoch; ``scope`` is the kind of attack agreed to.
    """

    model: str
    host: str
    not_after: float
    scope: Scope = "evasion"


def make_consent(signer: Signer, *, model: str, host: str, not_after: float) -> str:
    """The token, base64 text, that the gateway publishes as ``hauberk_consent``.

    Raises:
        DataError: if a name is empty or too long, or the time is not finite.
        ConfigError: if the signer has no private key.
    """
    if not (0 < len(model) <= 256 and 0 < len(host) <= 256):
        raise DataError("a model and a host have 1…256 characters", where="consent")
    if not 0 < not_after < float("inf"):
        raise DataError(f"{not_after} is not a time", where="consent")
    consent = Consent(model=model, host=host, not_after=not_after)
    statement = {"_type": CONSENT, **msgspec.to_builtins(consent)}
    return b64encode(msgspec.json.encode(signer.sign(statement))).decode()


def check_consent(
    text: str,
    verify: Callable[[Envelope], dict[str, Any]],
    *,
    model: str,
    at: float,
    host: str | None = None,
) -> Consent:
    """The consent of a token, if it covers attacking ``model`` (at ``host``) at time ``at``.

    ``verify`` is a signer's: it gives the statement of an envelope that a trusted key signed.

    Raises:
        NoConsent: if the token is missing, malformed, not signed by a trusted key, run out, or for
            another endpoint.
    """
    if not text.strip():
        raise NoConsent("the endpoint publishes no consent", hint=_HINT)
    if len(text) > MAX_TEXT:
        raise NoConsent(f"a token of {len(text)} characters, at most {MAX_TEXT}", hint=_HINT)
    try:
        envelope = msgspec.json.decode(b64decode(text.strip(), validate=True), type=Envelope)
        statement = dict(verify(envelope))
    except Untrusted as error:
        raise NoConsent(f"the token is not to be trusted: {error.what}", hint=_HINT) from None
    except (ValueError, RecursionError):  # base64 and msgspec errors are both ValueErrors
        raise NoConsent("the token is malformed", hint=_HINT) from None
    if statement.pop("_type", None) != CONSENT:
        raise NoConsent("the signed token is not a consent", hint=_HINT)
    try:
        consent = msgspec.convert(statement, Consent, strict=True)
    except msgspec.ValidationError as error:
        raise NoConsent(f"the token is malformed: {error}", hint=_HINT) from None
    if consent.model != model:
        raise NoConsent(f"the consent is for {consent.model[:80]!r}, not {model[:80]!r}")
    if host is not None and consent.host != host:
        raise NoConsent(f"the consent is for host {consent.host[:80]!r}, not {host[:80]!r}")
    if not at < consent.not_after:
        raise NoConsent("the consent has run out", hint=_HINT)
    return consent
