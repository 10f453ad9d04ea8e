"""Envelopes: data sealed by a data key, the data key wrapped by a master key (AES-256-GCM).

NIST SP 800-38D. Nonces are random, so a data key seals at most 2**20 boxes: far below the 2**32 at
which two of them might share one.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hauberk.core.errors import Untrusted

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
MOST_BOXES = 2**20


class Sealer:
    """One key in memory. ``about`` is bound to a box: it opens with the same words alone."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, *, about: bytes, nonce: bytes = b"") -> bytes:
        """A box: nonce, ciphertext and tag; a ``nonce`` is one of :func:`new_nonces`."""
        nonce = nonce or os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, about)

    def open(self, box: bytes, *, about: bytes) -> bytes:
        """What was sealed.

        Raises:
            Untrusted: if key, box or words are not those of the sealing.
        """
        if len(box) < NONCE_BYTES + TAG_BYTES:
            raise Untrusted("a sealed box is too short")
        try:
            return self._cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], about)
        except InvalidTag:
            raise Untrusted("a sealed box does not open: altered, or another key's") from None


def new_nonces(count: int) -> list[bytes]:
    """Random nonces, drawn in one call of the system; each may be used once."""
    drawn = os.urandom(count * NONCE_BYTES)
    return [drawn[at : at + NONCE_BYTES] for at in range(0, len(drawn), NONCE_BYTES)]


def new_key() -> bytes:
    """A key: 32 random bytes."""
    return os.urandom(KEY_BYTES)
