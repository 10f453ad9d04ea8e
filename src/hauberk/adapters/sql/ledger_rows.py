"""Rows of the ledger's tables: their schema, their digests, and entries made of them."""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, cast, get_args

from hauberk.core.digest import canonical_json, digest_bytes, digest_json, short
from hauberk.core.errors import DataError
from hauberk.core.ports import Entry, EntryKind

GENESIS = "sha256:" + "0" * 64
MAX_BODY = 1 << 20
MAX_TEXT = 4096
COLUMNS = "number, at, kind, subject, body, previous, digest"
Row = tuple[int, float, str, str, str, str, str]
if TYPE_CHECKING:
    quoted = cast("Any", encode_basestring)
else:
    quoted = encode_basestring


def row_digest(row: Row) -> str | None:
    """The digest that the row's content has: that of its entry as canonical JSON.

    The body's text goes in as it is stored, which is faster than reading and writing it anew. No
    other row makes the same text: in a quoted subject no quote stands without a backslash.
    """
    number, at, kind, subject, body, previous, _ = row
    text = (
        f'{{"at":{at!r},"body":{body},"index":{number},"kind":{quoted(kind)},'
        f'"previous":{quoted(previous)},"subject":{quoted(subject)}}}'
    )
    try:
        return digest_bytes(text.encode())
    except UnicodeEncodeError:  # a flipped byte can make bad text
        return None


def entry_of(row: Row) -> Entry | None:
    """The entry of a row; None if its content does not have its digest."""
    number, at, kind, subject, text, previous, digest = row
    if row_digest(row) != digest:
        return None
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    return Entry(
        index=number,
        at=at,
        kind=cast("EntryKind", kind),
        subject=subject,
        body=body,
        previous=previous,
        digest=digest,
    )


def new_row(head: Entry | None, kind: str, subject: str, text: str, at: float) -> Row:
    """The row that follows ``head``; ``text`` is the body as :func:`body_text` gives it.

    Raises:
        DataError: if ``at`` is not finite.
    """
    index, previous = (head.index + 1, head.digest) if head else (0, GENESIS)
    fields = {
        "index": index,
        "at": float(at),
        "kind": kind,
        "subject": subject,
        "body": json.loads(text),
        "previous": previous,
    }
    try:
        digest = digest_json(fields)
    except ValueError:
        raise DataError(f"{at} is not a time", where="ledger") from None
    return index, float(at), kind, subject, text, previous, digest


def body_text(kind: str, subject: str, body: dict[str, Any], key: str) -> str:
    """The body's canonical text, once everything about the entry is known to fit.

    Raises:
        DataError: if the kind is unknown, something is too large, or the body is not plain JSON.
    """
    if kind not in get_args(EntryKind):
        raise DataError(f"unknown kind of entry {kind!r}", where="ledger")
    if not subject or max(len(subject), len(key)) > MAX_TEXT:
        raise DataError(f"a subject has 1…{MAX_TEXT} characters", where="ledger")
    try:
        # Twice, since the first pass may turn keys into text and so change their order.
        text = canonical_json(json.loads(canonical_json(body)))
        subject.encode(), key.encode()
        if "\0" in subject + key:
            raise ValueError("a zero character")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"not plain JSON: {error}", where=f"ledger: {short(subject)}") from None
    if len(text) > MAX_BODY:
        raise DataError(f"a body of {len(text)} bytes, at most {MAX_BODY}", where="ledger")
    return text.decode()
