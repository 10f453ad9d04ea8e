"""A smaller network of the same kind: the declared architecture with its widths reduced."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from hauberk.adapters.models.torch_model import Architecture
from hauberk.core.errors import UserError
from hauberk.core.registry import find

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTHS = ("widths", "width", "hidden", "channels")


def smaller(architecture: Architecture, share: float) -> Architecture:
    """The architecture with ``share`` of its widths, each at least 1; depth is kept.

    What is reduced are the parameters ``widths``, ``width``, ``hidden`` and ``channels`` of its
    builder, as given or by default: whole numbers, or lists of them.

    Raises:
        UserError: if the share is out of range, or the builder has none of them.
    """
    if not 0 < share <= 1:
        raise UserError(f"a share of the width must lie in (0, 1], not {share}")
    known = inspect.signature(find("architecture", architecture.name)).parameters
    params: dict[str, Any] = dict(architecture.params)
    reduced = 0
    for name in _WIDTHS:
        if name not in known:
            continue
        value = params.get(name, known[name].default)
        if value is not inspect.Parameter.empty:
            params[name] = _reduced(value, share)
            reduced += 1
    if not reduced:
        raise UserError(
            f"architecture {architecture.name!r} has no width to reduce",
            hint=f"its builder needs one of {', '.join(_WIDTHS)}",
        )
    return Architecture(architecture.name, params)


def _reduced(value: int | Sequence[int], share: float) -> int | list[int]:
    if isinstance(value, int):
        return max(1, round(value * share))
    return [max(1, round(one * share)) for one in value]
