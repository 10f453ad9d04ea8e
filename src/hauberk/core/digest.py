"""Content addresses: ``sha256:<64 hex digits>`` of bytes, files and JSON values."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

_FORM = re.compile(r"sha256:[0-9a-f]{64}\Z")
_CHUNK = 1 << 20


def digest_bytes(data: bytes | memoryview) -> str:
    """Digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_file(path: Path) -> str:
    """Digest of a file, read in chunks of 1 MiB."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return f"sha256:{state.hexdigest()}"


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no blanks, no NaN.

    Raises:
        ValueError: if the value holds NaN or an infinity.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def digest_json(value: Any) -> str:
    """Digest of a value's canonical JSON text."""
    return digest_bytes(canonical_json(value))


def check_digest(text: str) -> str:
    """Return ``text`` if it is a well-formed digest.

    Raises:
        UserError: if it is not.
    """
    if not _FORM.match(text):
        raise UserError(
            f"not a digest: {text[:80]!r}",
            hint="a digest is 'sha256:' and 64 lower-case hex digits",
        )
    return text


def short(digest: str) -> str:
    """The first twelve hex digits, for people."""
    return digest.removeprefix("sha256:")[:12]
