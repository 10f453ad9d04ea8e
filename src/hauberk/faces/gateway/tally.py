"""Tally: what is known of a body that passed without being kept."""

from __future__ import annotations

import hashlib

_MOST = 2**20


class Tally:
    """Counts the bytes of a body piece by piece.

    With ``keep`` it holds a body of up to a mebibyte, and of a longer one its SHA-256.
    """

    def __init__(self, *, keep: bool) -> None:
        self.size = 0
        self._kept = bytearray() if keep else None
        self._hash = hashlib.sha256() if keep else None

    def add(self, piece: bytes) -> None:
        """Count one piece more."""
        self.size += len(piece)
        if self._hash is not None:
            self._hash.update(piece)
        if self._kept is not None:
            if self.size > _MOST:
                self._kept = None
            else:
                self._kept += piece

    @property
    def kept(self) -> bytes | None:
        """The body, if it was to be kept and is not too long."""
        return None if self._kept is None else bytes(self._kept)

    @property
    def digest(self) -> str:
        """``sha256:…`` of what passed; empty if nothing was to be kept."""
        return "" if self._hash is None else f"sha256:{self._hash.hexdigest()}"
