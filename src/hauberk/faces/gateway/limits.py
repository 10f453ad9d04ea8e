"""Limits: the bounds of everything that a client can make large, long or slow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hauberk.core.spec import ServeSpec

MAX_TENSORS = 16
MAX_RANK = 8
MAX_ID = 128


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bytes, rows, seconds and requests at once.

    ``body_bytes`` bounds a request, compressed bodies are refused; ``header_bytes`` its headers.
    ``header_seconds`` and ``body_seconds`` bound how long either may take to arrive. ``threads``
    models run at once, ``queue`` requests wait for them, ``connections`` are open. Up to
    ``inline_bytes`` a request may be answered on the event loop where models are quick.
    """

    body_bytes: int = 16 * 2**20
    control_bytes: int = 64 * 2**10
    header_bytes: int = 32 * 2**10
    rows: int = 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    threads: int = max(1, min(4, os.cpu_count() or 1))
    queue: int = 128
    connections: int = 1024
    inline_bytes: int = 16 * 2**10

    @classmethod
    def of(cls, spec: ServeSpec) -> Limits:
        """The limits that a spec sets; the rest by default."""
        return cls(body_bytes=spec.max_body_bytes, rows=spec.max_rows)
