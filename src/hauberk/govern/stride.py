"""STRIDE per stage of a model's life: rules as data, held against a system by set membership.

Spoofing, Tampering, Repudiation, Information disclosure, Denial of service, Elevation of privilege
(Kohnfelder and Garg, Microsoft 1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from hauberk.core.errors import ConfigError
from hauberk.govern import catalogues
from hauberk.govern.atlas_use import KNOWLEDGE
from hauberk.govern.risk import Rating, rate
from hauberk.govern.strict import read_toml
from hauberk.govern.threats import CAPABILITIES, KINDS, STAGES, TRAITS, Component, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.govern.atlas import Catalogue
    from hauberk.govern.threats import Flow, System

Letter = Literal["S", "T", "R", "I", "D", "E"]
LETTERS: dict[Letter, str] = {
    "S": "Spoofing",
    "T": "Tampering",
    "R": "Repudiation",
    "I": "Information disclosure",
    "D": "Denial of service",
    "E": "Elevation of privilege",
}


class StrideRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which elements a threat fits; an empty set fits all, but ``capabilities`` names some."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[STRIDE]-[A-Z0-9-]{2,30}$")]
    letter: Letter
    element: Literal["component", "flow"]
    stages: tuple[str, ...]
    title: str
    capabilities: tuple[str, ...]
    controls: tuple[str, ...]
    likelihood: Annotated[int, msgspec.Meta(ge=1, le=5)]
    kinds: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    knowledge: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    crosses: bool = False

    def __post_init__(self) -> None:
        for names, choices, kind in (
            (self.stages, STAGES, "stage"),
            (self.kinds, KINDS, "kind of component"),
            ((*self.traits, *self.unless), TRAITS, "trait"),
            (self.capabilities, CAPABILITIES, "capability"),
            (self.knowledge, KNOWLEDGE, "knowledge"),
            (self.controls, catalogues.table("controls.toml"), "control"),
        ):
            for name in names:
                known(name, choices, kind)
        if not (self.controls and self.capabilities and self.stages):
            raise ConfigError("a rule needs stages, capabilities and controls", where=self.id)


class _Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rule: tuple[StrideRule, ...]


@dataclass(frozen=True, kw_only=True)
class Threat:
    """What may befall one element; ``techniques`` are ids of the ``catalogue`` named."""

    id: str
    letter: Letter
    element: str
    stage: str
    title: str
    attackers: tuple[str, ...]
    techniques: tuple[str, ...]
    catalogue: str
    controls: tuple[str, ...]
    rating: Rating


def read_rules(data: bytes, *, where: str) -> tuple[StrideRule, ...]:
    """The rules of a TOML text.

    Raises:
        ConfigError: if it is malformed, or an id occurs twice.
        UnknownNameError: if a rule names what does not exist; the nearest is named.
    """
    rules = read_toml(data, _Rules, where=where).rule
    if len({rule.id for rule in rules}) != len(rules):
        raise ConfigError("a rule occurs twice", where=where)
    return rules


@cache
def shipped() -> tuple[StrideRule, ...]:
    """The rules that come with the product."""
    return read_rules(catalogues.text("stride.toml"), where="stride.toml")


def threats_of(
    system: System, catalogue: Catalogue, rules: tuple[StrideRule, ...] | None = None
) -> tuple[Threat, ...]:
    """Everything that threatens a system, the gravest first.

    Raises:
        UnknownNameError: if a rule names a technique that the catalogue does not have.
    """
    found = [
        _threat(rule, element, system, catalogue, attackers)
        for rule in (shipped() if rules is None else rules)
        for element in (system.component if rule.element == "component" else system.flow)
        if _fits(rule, element, system)
        for attackers in [tuple(_attackers(rule, system))]
        if attackers
    ]
    return tuple(sorted(found, key=lambda one: (-one.rating.score, one.id)))


def _fits(rule: StrideRule, element: Component | Flow, system: System) -> bool:
    if isinstance(element, Component):
        kind, stages, boundary = element.kind, {element.stage}, True
    else:
        ends = system.find(element.source), system.find(element.target)
        kind, stages = ends[1].kind, {one.stage for one in ends}
        boundary = system.crosses(element) or not rule.crosses
    traits = set(element.traits)
    return (
        boundary
        and bool(stages & set(rule.stages))
        and (not rule.kinds or kind in rule.kinds)
        and traits.issuperset(rule.traits)
        and traits.isdisjoint(rule.unless)
    )


def _attackers(rule: StrideRule, system: System) -> Iterator[str]:
    for one in system.attacker:
        able = set(one.capabilities) & set(rule.capabilities)
        if able and (not rule.knowledge or one.knowledge in rule.knowledge):
            yield one.id


def _threat(
    rule: StrideRule,
    element: Component | Flow,
    system: System,
    catalogue: Catalogue,
    attackers: tuple[str, ...],
) -> Threat:
    techniques = [catalogue.technique(ident) for ident in rule.techniques]
    if isinstance(element, Component):
        stage, assets = element.stage, element.holds
    else:
        stage, assets = system.find(element.target).stage, element.carries
    return Threat(
        id=f"{rule.id}@{element.id}",
        letter=rule.letter,
        element=element.id,
        stage=stage,
        title=rule.title,
        attackers=attackers,
        techniques=tuple(one.id for one in techniques),
        catalogue=catalogue.label,
        controls=rule.controls,
        rating=rate(rule.likelihood, system.worth(assets), [one.maturity for one in techniques]),
    )
