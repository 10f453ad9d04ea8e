"""Whose keys really signed an envelope, and for which task the ledger's envelopes were signed."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.exceptions import InvalidSignature

from hauberk.adapters.local.signer import encode
from hauberk.core.errors import Untrusted
from hauberk.core.ports import Envelope
from hauberk.govern.attest import RELEASE
from hauberk.govern.provenance import EVALUATION, TRAINING
from hauberk.govern.roles_duty import Act

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.adapters.local.signer import Ed25519Signer
    from hauberk.core.ports import Entry, Ledger

DECISION = "https://hauberk.dev/attest/decision/v1"
_TASKS = {RELEASE: "approve", DECISION: "approve", TRAINING: "train", EVALUATION: "evaluate"}


def signatories(signer: Ed25519Signer, envelope: Envelope) -> tuple[str, ...]:
    """The ids of the trusted keys that signed an envelope, whatever key ids it claims.

    Raises:
        Untrusted: if no trusted key did.
    """
    signer.verify(envelope)
    message = encode(envelope.payloadType, b64decode(_standard(envelope.payload)))
    found = []
    for ident, key in signer.trusted().items():
        for item in envelope.signatures:
            try:
                key.verify(b64decode(_standard(item.get("sig", ""))), message)
            except (InvalidSignature, ValueError):
                continue
            found.append(ident)
    return tuple(dict.fromkeys(found))


def acts(ledger: Ledger, signer: Ed25519Signer, digest: str) -> tuple[Act, ...]:
    """Who signed for which task on a digest, by the envelopes that the ledger holds about it.

    An envelope that no trusted key signed is nobody's act.
    """
    return tuple(dict.fromkeys(_acts(ledger, signer, digest)))


def _acts(ledger: Ledger, signer: Ed25519Signer, digest: str) -> Iterator[Act]:
    for entry in ledger.entries(subject=digest):
        envelope = _envelope(entry)
        if envelope is None:
            continue
        try:
            statement = signer.verify(envelope)
            keys = signatories(signer, envelope)
        except Untrusted:
            continue
        task = _task(statement, digest)
        if task:
            yield from (Act(task, key) for key in keys)


def _task(statement: dict[str, Any], digest: str) -> str:
    """The task that a statement was signed for; none where it is about another subject."""
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or not any(
        isinstance(one, dict) and one.get("digest") == {"sha256": digest.removeprefix("sha256:")}
        for one in subjects
    ):
        return ""
    kind, predicate = str(statement.get("predicateType", "")), statement.get("predicate")
    told = predicate if isinstance(predicate, dict) else {}
    if kind == RELEASE and told.get("role") != "primary":
        return ""  # a twin or a first model is registered, not approved
    if kind == DECISION and told.get("verdict") != "pass":
        return ""  # who denied has not approved
    build = told.get("buildDefinition")
    if kind == TRAINING and isinstance(build, dict) and "import" in str(build.get("buildType")):
        return ""  # whoever brought a model along says nothing of its training
    return _TASKS.get(kind, "")


def _envelope(entry: Entry) -> Envelope | None:
    try:
        return msgspec.convert(entry.body.get("envelope"), Envelope, strict=True)
    except msgspec.ValidationError:
        return None


def _standard(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")
