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

    from hauberk.harden.recipe import Part

MANY = 10_000
"""From so many training samples on, each is seen only a few times."""

_FEW_STEPS, _MANY_STEPS = 5, 3


def compose(
    names: Sequence[str],
    settings: Mapping[str, Any] | None = None,
    *,
    asked: Mapping[str, Any] | None = None,
) -> Recipe:
    """The method among ``names`` with the other names joined to it, in their order.

    ``settings`` go to the method, except those that it has no field for; ``asked`` go over them,
    and the method must have each of them. What is None is left to the method.

    Raises:
        UnknownNameError: if a name is unknown.
        UserError: if there is more than one method, a name twice, or the method lacks what was
            asked.
    """
    method, parts = _sorted(names)
    known = {one.name for one in fields(method)}
    asked = {key: value for key, value in (asked or {}).items() if value is not None}
    for key in sorted(asked.keys() - known):
        raise UserError(
            f"{method.name} has no such setting",
            where=f"harden.{key}",
            hint="leave it out, or choose a method that has it, such as adversarial",
        )
    usual = {k: v for k, v in (settings or {}).items() if k in known and v is not None}
    made: Recipe = method(**{**usual, **asked}, parts=parts)
    return made


def suited(names: Sequence[str], n: int) -> dict[str, int]:
    """Batch size and inner steps for ``n`` samples, as settings of :func:`compose`.

    Few samples are seen often in small batches and attacked with more steps; of many each is seen
    a few times. A method whose attacks go on where the last one ended keeps its own steps.

    Raises:
        UnknownNameError: if a name is unknown.
        UserError: if there is more than one method, or a name twice.
    """
    few = n < MANY
    steps = {} if _sorted(names)[0].goes_on else {"steps": _FEW_STEPS if few else _MANY_STEPS}
    return {"batch_size": 64 if few else 128, **steps}


def _sorted(names: Sequence[str]) -> tuple[type[Recipe], tuple[Part, ...]]:
    """The method, and what joins it."""
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
    return method, tuple(one() for name, one in found.items() if name not in methods)


def _joins(component: type) -> bool:
    return hasattr(component, "join")
