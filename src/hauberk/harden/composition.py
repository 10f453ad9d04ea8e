"""A hardening as a list of names: one method, and what is joined to it.

``["early-stop", "adversarial", "cutmix", "distil"]`` is adversarial training with CutMix and a
teacher, stopped early. Without a method, training is clean.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import UserError
from hauberk.core.registry import find
from hauberk.harden.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def compose(names: Sequence[str], settings: Mapping[str, Any] | None = None) -> Recipe:
    """The method among ``names`` with the other names joined to it, in their order.

    ``settings`` go to the method; those that it has no field for, and those that are None, are
    left out.

    Raises:
        UnknownNameError: if a name is unknown.
        UserError: if there is more than one method, or a name twice.
    """
    if len(set(names)) < len(names):
        raise UserError(f"named twice in {', '.join(names)}", where="harden")
    found = {name: find("harden", name) for name in names}
    methods = [name for name, one in found.items() if issubclass(one, Recipe)]
    if alone := [name for name, one in found.items() if name not in methods and not _joins(one)]:
        raise UserError(f"{alone[0]} stands alone", where="harden")
    if len(methods) > 1:
        raise UserError(
            f"more than one method: {', '.join(methods)}",
            where="harden",
            hint="name one; early-stop, cutmix, distil, ema, swa and awp join it",
        )
    method = found[methods[0]] if methods else find("harden", "clean")
    known = {one.name for one in fields(method)}
    fitting = {k: v for k, v in (settings or {}).items() if k in known and v is not None}
    parts = tuple(one() for name, one in found.items() if name not in methods)
    made: Recipe = method(**fitting, parts=parts)
    return made


def _joins(component: type) -> bool:
    return hasattr(component, "join")
