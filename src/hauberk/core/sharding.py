"""Cutting work into shards, and what every engine needs to do one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hauberk.core.errors import UserError
from hauberk.core.ports import Shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.ports import Work


def cut(samples: int, size: int) -> list[Shard]:
    """Shards of ``size`` samples, the last maybe smaller, that cover ``samples``.

    Raises:
        UserError: if the size is below 1.
    """
    if size < 1:
        raise UserError(f"a shard needs at least one sample, not {size}")
    return [Shard(start, min(start + size, samples)) for start in range(0, samples, size)]


def opened(work: Work) -> Callable[[Shard], bytes]:
    """Open work in this process: from a shard to its result.

    ``work`` comes from our own process, never from a user: its opener is imported.
    """
    module, _, function = work.opener.partition(":")
    do: Callable[[Shard], bytes] = getattr(import_module(module), function)(work.spec)
    return do
