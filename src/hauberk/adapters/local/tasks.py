"""One text names what it means to be right: ``classification``, ``regression:0.1`` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from hauberk.core.detection import Detection, Goal
from hauberk.core.errors import UnknownNameError, UserError
from hauberk.core.task import Binary, Classification, MultiLabel, Regression

if TYPE_CHECKING:
    from hauberk.core.task import Task

TASKS = ("binary", "classification", "detection", "multi-label", "regression")


def task_of(text: str) -> Task:
    """``binary`` · ``classification`` · ``detection:GOAL`` · ``multi-label`` · ``regression:TOL``.

    A detector's ``GOAL`` is what the attacker wants, ``vanish``, ``appear`` or ``mislabel``; the
    first if it is left out. ``TOL`` is how far a number may be off.

    Raises:
        UserError: if there is no such task, or what follows the colon does not go with it.
    """
    kind, _, argument = text.partition(":")
    if kind not in TASKS:
        raise UnknownNameError(kind, TASKS, kind="task")
    if kind == "detection":
        for goal in get_args(Goal):
            if goal == (argument or "vanish"):
                return Detection(goal=goal)
        raise UserError(f"unknown goal {argument!r}", hint="vanish, appear or mislabel")
    if kind == "regression":
        try:
            return Regression(tolerance=float(argument))
        except ValueError:
            raise UserError(
                f"{argument!r} is no tolerance", hint="such as --task regression:0.1"
            ) from None
    if argument:
        raise UserError(f"{kind} takes nothing after a colon, not {argument!r}")
    plain: dict[str, Task] = {
        "binary": Binary(),
        "classification": Classification(),
        "multi-label": MultiLabel(),
    }
    return plain[kind]


def has_classes(text: str) -> bool:
    """Whether every sample of that task has one label out of several."""
    return text in {"classification", "binary"}
