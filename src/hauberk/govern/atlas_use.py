"""When a technique of ATLAS is used, and what its user must know: our reading, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from hauberk.core.errors import UnknownNameError
from hauberk.govern import catalogues
from hauberk.govern.atlas import RENAMED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.govern.atlas import Catalogue, Technique

Phase = Literal["design", "development", "operations"]
Knowledge = Literal["black-box", "grey-box", "white-box"]
PHASES: tuple[Phase, ...] = get_args(Phase)
KNOWLEDGE: tuple[Knowledge, ...] = get_args(Knowledge)
_FILE = "atlas_use.toml"
_FORMER = {new: old for old, new in RENAMED.items()}


def phases(catalogue: Catalogue, technique: Technique) -> tuple[str, ...]:
    """The phases of a model's life in which the technique is used, in their order."""
    table = catalogues.table(_FILE)
    own = _inherited(table["phases"], technique)
    if own is None:
        tactics = catalogue.tactics_of(technique)
        own = [phase for tactic in tactics for phase in table["tactics"].get(tactic, PHASES)]
    return tuple(phase for phase in PHASES if phase in own)


def knowledge(technique: Technique) -> tuple[str, ...]:
    """What suffices to use it; all three where the technique does not depend on the model."""
    own = _inherited(catalogues.table(_FILE)["knowledge"], technique)
    return KNOWLEDGE if own is None else tuple(own)


def chosen(
    catalogue: Catalogue,
    *,
    phase: str | None = None,
    known: str | None = None,
    tactic: str | None = None,
) -> Iterator[Technique]:
    """The techniques used in a phase, by an attacker of that knowledge, for a tactic.

    Raises:
        UnknownNameError: if there is no such phase, knowledge or tactic.
    """
    tactics = [one.id for one in catalogue.tactics]
    for value, all_of, kind in (
        (phase, PHASES, "phase"),
        (known, KNOWLEDGE, "knowledge"),
        (tactic, tactics, "tactic"),
    ):
        if value is not None and value not in all_of:
            raise UnknownNameError(value, all_of, kind=kind)
    for technique in catalogue.techniques:
        if (
            (phase is None or phase in phases(catalogue, technique))
            and (known is None or known in knowledge(technique))
            and (tactic is None or tactic in catalogue.tactics_of(technique))
        ):
            yield technique


def _inherited(table: dict[str, list[str]], technique: Technique) -> list[str] | None:
    """What the table says of the technique or its parent, under today's id or a former one."""
    for ident in (technique.id, _FORMER.get(technique.id), technique.parent):
        if ident is not None and ident in table:
            return table[ident]
    return None
