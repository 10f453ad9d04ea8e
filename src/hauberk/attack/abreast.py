"""Runs towards several classes at once, side by side in one batch."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hauberk.attack.search import Search

    S = TypeVar("S", bound=Search)


def abreast(search: S, aims: Tensor, run: Callable[[S, Tensor], object]) -> Tensor:
    """``run(spread, aim)`` with one copy of each standing sample for each of its ``aims``.

    ``aims`` ``(standing, classes)``; the positions of the samples that stand afterwards. A few
    standing samples fill a batch so, and one that falls towards any class is asked about no more.
    Never more copies at once than the batch had samples, which is what fits into the memory: which
    samples fall does not depend on that, which of their adversarial points comes back may.
    """
    stand = torch.arange(len(aims), device=aims.device)
    for first in range(0, aims.shape[1], search.width):
        some = aims[stand, first : first + search.width]
        many = some.shape[1]
        gone = torch.zeros(len(some), dtype=torch.bool, device=aims.device)
        for rows in torch.split(torch.arange(len(some), device=aims.device), search.width // many):
            spread = copy(search)
            spread.spread(rows, many, first=first)
            run(spread, some[rows].flatten())
            gone[rows] = search.adopt(rows, spread.finds())
        stand = stand[search.leave(gone)]
        if search.done():
            break
    return stand
