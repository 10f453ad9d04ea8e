"""Limits: the bounds of everything that a client can make large, long or slow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hauberk.core.spec import Spec

MAX_TENSORS = 16
_TOGETHER = 16
MAX_RANK = 8
MAX_ID = 128


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bytes, rows, seconds and requests at once.

    ``body_bytes`` bounds a request as it is decoded, ``bodies_bytes`` all that are in memory;
    ``header_bytes`` its headers.
    ``header_seconds`` and ``body_seconds`` bound how long either may take to arrive. ``threads``
    models run at once, ``queue`` requests wait for them, ``connections`` are open. Up to
    ``inline_bytes`` a request may be answered on the event loop where models are quick.
    """

    body_bytes: int = 16 * 2**20
    bodies_bytes: int = 512 * 2**20
    control_bytes: int = 64 * 2**10
    header_bytes: int = 32 * 2**10
    rows: int = 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    threads: int = max(1, min(4, os.cpu_count() or 1))
    queue: int = 128
    connections: int = 1024
    inline_bytes: int = 2**20

    @classmethod
    def of(cls, spec: Spec) -> Limits:
        """The limits that a spec sets; the rest by default.

        A thread that asks an upstream, or waits to be run with others, does not work: there are
        more of those.
        """
        serve, own = spec.serve, cls()
        many = spec.upstream.connections if spec.upstream.url else 0
        if serve.batch_rows > 1:
            many = max(many, _TOGETHER)
        return cls(
            body_bytes=serve.max_body_bytes,
            bodies_bytes=serve.max_bodies_bytes,
            rows=serve.max_rows,
            threads=serve.threads or many or own.threads,
        )
