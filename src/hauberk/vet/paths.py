"""Names of files inside of files: whether following one leaves the folder."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://|~")


def escapes(name: str) -> bool:
    """Whether a relative path, read as any system might, reaches outside its folder."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain) or "\0" in plain:
        return True
    return ".." in plain.split("/")
