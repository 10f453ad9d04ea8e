"""The statement that lets a model be served: in-toto Statement v1 about one digest."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from hauberk.core.digest import check_digest
from hauberk.core.errors import DataError, Untrusted, UserError
from hauberk.core.evidence import Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
RELEASE = "https://hauberk.dev/attest/release/v1"
Role = Literal["primary", "twin", "initial"]


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On what grounds a model may be served; ``at`` in seconds since the epoch.

    ``primary``: the gate passed it; ``policy``, ``decision`` and ``evidence`` are the digests of
    what it decided by. ``twin``: trained to answer while an incident lasts. ``initial``: an
    operator, named in ``by``, registered it before there was anything to compare it with.
    """

    role: Role
    at: float = 0.0
    verdict: Verdict = Verdict.UNKNOWN
    policy: str | None = None
    decision: str | None = None
    evidence: tuple[str, ...] = ()
    incident: str | None = None
    by: str = ""


def release(predicate: dict[str, Any]) -> Release:
    """Read a predicate of plain values, and see that it is complete.

    Raises:
        DataError: if a field is unknown or of another type, or the grounds of the role are missing.
    """
    try:
        result = msgspec.convert(predicate, Release, strict=True)
    except msgspec.ValidationError as error:
        raise DataError(f"{error}", where="release") from None
    missing = _missing(result)
    if missing:
        raise DataError(f"a release as {result.role} needs {missing}", where="release")
    return result


def release_statement(
    digest: str, predicate: Release, *, name: str = "model.onnx"
) -> dict[str, Any]:
    """The statement that ``digest`` is released on these grounds.

    Raises:
        DataError: if the grounds of the role are missing.
        UserError: if ``digest`` is none.
    """
    plain = msgspec.to_builtins(predicate)
    release(plain)
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": check_digest(digest).removeprefix("sha256:")}}
        ],
        "predicateType": RELEASE,
        "predicate": plain,
    }


def check_release(statement: dict[str, Any], digest: str) -> Release:
    """The release of a statement whose signature was verified, if it is about ``digest``.

    Raises:
        Untrusted: if it is another kind of statement, about another subject, or lacks grounds.
    """
    if statement.get("_type") != STATEMENT or statement.get("predicateType") != RELEASE:
        raise _refuse("the signed statement is not a release")
    subject = statement.get("subject")
    if not isinstance(subject, list) or len(subject) != 1 or not isinstance(subject[0], dict):
        raise _refuse("the release does not name one subject")
    if subject[0].get("digest") != {"sha256": digest.removeprefix("sha256:")}:
        raise _refuse("the release is about another file")
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict):
        raise _refuse("the release states no grounds")
    try:
        return release(predicate)
    except UserError as error:
        raise _refuse(error.what) from None


def _missing(item: Release) -> str:
    if item.role == "initial":
        return "" if item.by else "`by`, the operator who registers it"
    if item.role == "primary":
        if item.verdict is not Verdict.PASS:
            return f"the verdict `pass`, not `{item.verdict}`"
        if not (item.policy and item.decision):
            return "the digests of `policy` and `decision`"
    return ""


def _refuse(why: str) -> Untrusted:
    return Untrusted(f"HB-S002: {why}")
