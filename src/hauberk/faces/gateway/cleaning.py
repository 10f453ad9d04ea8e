"""Cleaning: the filters that a spec names, over the range of the model that is served."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from hauberk.core.errors import DataError
from hauberk.core.registry import find
from hauberk.faces.gateway.faults import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from hauberk.core.model import Bounds
    from hauberk.guard.pixels import Filter

    Cleaner = Callable[[NDArray[np.float32], Bounds], NDArray[np.float32]]


def as_it_came(x: NDArray[np.float32], bounds: Bounds) -> NDArray[np.float32]:
    """No filter."""
    del bounds
    return x


def cleaner(names: Sequence[str]) -> Cleaner:
    """The filters of these names, one after another; rows keep their shape and range.

    Raises:
        UnknownNameError: if there is no such filter.
    """
    if not names:
        return as_it_came
    from hauberk.guard.pixels import cleaned  # noqa: PLC0415 - of an extra

    kinds = [find("guard", name) for name in names]

    @lru_cache(maxsize=8)
    def made(bounds: Bounds) -> tuple[Filter, ...]:
        return tuple(kind(bounds=bounds).on_bytes for kind in kinds)

    # Mostly those of one model; to look for them by their values takes as long as a small filter.
    last: list[tuple[Bounds, tuple[Filter, ...]]] = []

    def clean(x: NDArray[np.float32], bounds: Bounds) -> NDArray[np.float32]:
        known = last[0] if last else None
        if known is None or known[0] is not bounds:
            known = (bounds, made(bounds))
            last[:] = [known]
        try:
            # All on the same bytes: as one after another, without the way back and forth.
            return cleaned(x, bounds, *known[1])
        except DataError as error:
            raise BadRequest(str(error)) from None

    return clean
