"""People, roles and tasks as data: who does, answers, is asked and is told, stage by stage."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - msgspec reads the annotation
from functools import cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from hauberk.core.digest import check_digest
from hauberk.core.errors import ConfigError, UnknownNameError
from hauberk.core.rule import find_rule
from hauberk.govern import catalogues
from hauberk.govern.strict import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]
LETTERS = {"R": "does it", "A": "answers for it", "C": "is asked", "I": "is told"}
_SHIPPED = "governance.toml"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that it does not know is an error."""


class Raci(_Table, frozen=True, kw_only=True, rename="upper"):
    """The roles that do a task, answer for it, are asked and are told."""

    r: tuple[Name, ...]
    a: tuple[Name, ...]
    c: tuple[Name, ...] = ()
    i: tuple[Name, ...] = ()


class Task(_Table, frozen=True, kw_only=True):
    """One task at one stage; ``rules`` are the evidence that it was done."""

    id: Name
    title: Words
    stage: Name
    pillar: Name
    raci: Raci
    rules: tuple[str, ...] = ()


class Person(_Table, frozen=True, kw_only=True):
    """Someone with roles and with signing keys, each by its key id (``hauberk keys list``).

    ``trained`` is the day of the last security training.
    """

    name: Words
    roles: tuple[Name, ...]
    keys: tuple[str, ...] = ()
    trained: date | None = None


class ModelFacts(_Table, frozen=True, kw_only=True):
    """What only people can say about a model, for its card."""

    owner: Words
    intended_use: Words
    out_of_scope: Words
    limitations: Words
    contact: Words
    licence: Words = "not stated"


class DataFacts(_Table, frozen=True, kw_only=True):
    """What only people can say about data, for its card."""

    owner: Words
    source: Words
    licence: Words
    collected: Words
    personal_data: Words
    known_biases: Words


class Governance(_Table, frozen=True, kw_only=True):
    """All of it. ``apart`` lists pairs of tasks that one person may not both do for one model.

    A security training counts for ``trained_days``.

    Raises:
        ConfigError: if a task has not one role that answers, or a key belongs to two people.
        UnknownNameError: if a task, a person or ``apart`` names what does not exist.
    """

    stages: tuple[Name, ...]
    pillars: dict[Name, Words]
    roles: dict[Name, Words]
    task: tuple[Task, ...]
    apart: tuple[tuple[Name, Name], ...] = ()
    person: tuple[Person, ...] = ()
    trained_days: Days = 365
    model: dict[str, ModelFacts] = {}
    data: dict[str, DataFacts] = {}

    def __post_init__(self) -> None:
        tasks = [one.id for one in self.task]
        if len(set(tasks)) != len(tasks):
            raise ConfigError("a task occurs twice", where="governance")
        for task in self.task:
            _known(task.stage, self.stages, "stage")
            _known(task.pillar, self.pillars, "pillar")
            for code in task.rules:
                find_rule(code)
            if len(task.raci.a) != 1 or not task.raci.r:
                raise ConfigError(
                    "a task needs one role that answers (A) and at least one that does it (R)",
                    where=f"task {task.id}",
                )
            for role in (*task.raci.r, *task.raci.a, *task.raci.c, *task.raci.i):
                _known(role, self.roles, "role")
        for pair in self.apart:
            for name in pair:
                _known(name, tasks, "task")
        self._check_people()

    def find_task(self, ident: str) -> Task:
        """The task of an id.

        Raises:
            UnknownNameError: if there is none.
        """
        _known(ident, [one.id for one in self.task], "task")
        return next(one for one in self.task if one.id == ident)

    def holder(self, key: str) -> Person | None:
        """Whose key it is; None if nobody's."""
        return next((one for one in self.person if key in one.keys), None)

    def lanes(self) -> dict[str, dict[str, list[tuple[Task, str]]]]:
        """Swim-lanes: for each role and stage the tasks with the letters it has in them."""
        found: dict[str, dict[str, list[tuple[Task, str]]]] = {
            role: {stage: [] for stage in self.stages} for role in self.roles
        }
        for task in self.task:
            for role in self.roles:
                letters = "".join(
                    letter for letter in LETTERS if role in getattr(task.raci, letter.lower())
                )
                if letters:
                    found[role][task.stage].append((task, letters))
        return found

    def _check_people(self) -> None:
        names, keys = set(), dict[str, str]()
        for one in self.person:
            if one.name in names:
                raise ConfigError(f"{one.name} occurs twice", where="governance")
            names.add(one.name)
            for role in one.roles:
                _known(role, self.roles, "role")
            for key in one.keys:
                if keys.setdefault(check_digest(key), one.name) != one.name:
                    raise ConfigError(
                        f"{keys[key]} and {one.name} share a key",
                        where="governance",
                        hint="a key is one person's: make each their own with `hauberk keys`",
                    )


class _Own(_Table, frozen=True, kw_only=True):
    """A user's file: the tables that it names replace those that ship."""

    stages: tuple[Name, ...] | None = None
    apart: tuple[tuple[Name, Name], ...] | None = None
    pillars: dict[Name, Words] | None = None
    roles: dict[Name, Words] | None = None
    task: tuple[Task, ...] | None = None
    person: tuple[Person, ...] = ()
    trained_days: Days | None = None
    model: dict[str, ModelFacts] = {}
    data: dict[str, DataFacts] = {}


@cache
def shipped() -> Governance:
    """The eight roles and the tasks that come with the product, and nobody in them."""
    return read_toml(catalogues.text(_SHIPPED), Governance, where=_SHIPPED)


def read_governance(data: bytes, *, where: str = "governance.toml") -> Governance:
    """What ships, with the tables of a user's file in their place.

    Raises:
        ConfigError: if the file is malformed or contradicts itself.
        UnknownNameError: if it names what does not exist; the nearest is named.
    """
    own = read_toml(data, _Own, where=where)
    given = {name: getattr(own, name) for name in own.__struct_fields__}
    named = {name: value for name, value in given.items() if value is not None}
    return Governance(**{**msgspec.structs.asdict(shipped()), **named})


def _known(name: str, names: Iterable[str], kind: str) -> None:
    choices = list(names)
    if name not in choices:
        raise UnknownNameError(name, choices, kind=kind)
