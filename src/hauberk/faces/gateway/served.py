"""Served: one model in memory, of verified bytes, that answers finite logits or fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hauberk.adapters.upstream.trouble import Trouble
from hauberk.core.digest import digest_bytes, short
from hauberk.core.errors import HauberkError, ModelFormatError, Untrusted
from hauberk.guard.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from hauberk.core.model import Bounds


class Runner(Protocol):
    """What runs a model: :class:`hauberk.adapters.models.session.Session`, or a fake of it."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row."""

    @property
    def classes(self) -> int:
        """How many logits a row gets."""

    def __call__(self, x: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Logits ``(batch, classes)``; may be called by several threads at once."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What the gateway needs from outside.

    ``verify`` returns the file of a digest that may be served and raises Untrusted for any other;
    ``fetch`` returns a verified blob; ``bounds`` the input range that a model was entered with;
    ``start`` makes a runner of a model's bytes.
    """

    verify: Callable[[str], Path]
    fetch: Callable[[str], bytes]
    bounds: Callable[[str], Bounds]
    start: Callable[[bytes], Runner]


@dataclass(frozen=True)
class Served:
    """A model in memory; dropped when the last request that uses it ends."""

    digest: str
    run: Runner
    schema: Schema

    @classmethod
    def load(cls, digest: str, world: World, *, max_rows: int) -> Served:
        """Verify, read, start and warm up a model.

        Raises:
            Untrusted: if the digest may not be served, or its bytes changed since it was verified.
            ModelFormatError: if it cannot be run, or fails on a row of its own input range.
        """
        data = world.verify(digest).read_bytes()
        if digest_bytes(data) != digest:
            raise Untrusted(f"HB-S001: {short(digest)} was altered while it was read")
        run = world.start(data)
        bounds = world.bounds(digest)
        schema = Schema(shape=tuple(run.input_shape), bounds=bounds, max_rows=max_rows)
        model = cls(digest, run, schema)
        middle = (bounds.low + bounds.high) / 2
        try:
            model.logits(np.full((1, *schema.shape), middle, dtype=np.float32))
        except Trouble:
            raise
        except HauberkError as error:
            raise ModelFormatError(
                f"fails on its first row: {error}", where=short(digest)
            ) from None
        return model

    def is_like(self, other: Served) -> bool:
        """Whether both take and answer the same shapes."""
        return self.schema.shape == other.schema.shape and self.run.classes == other.run.classes

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Finite logits ``(batch, classes)`` of rows that passed the schema.

        Raises:
            Trouble: if the server that runs it does not answer.
            HauberkError: if the model fails, or answers another shape, NaN or an infinity.
        """
        try:
            out = self.run(x)
        except Trouble:
            raise
        except Exception as error:  # a runtime raises types of its own
            raise HauberkError(
                f"failed: {type(error).__name__}", where=short(self.digest)
            ) from None
        fits = out.shape == (len(x), self.run.classes)
        if not fits or not np.logical_and.reduce(np.isfinite(out), axis=None):
            raise HauberkError(
                "answered another shape, NaN or an infinity", where=short(self.digest)
            )
        return out.astype(np.float32, copy=False)
