"""A system as data: components, flows, trust boundaries, assets, attackers and claims.

The form is TOML; `hauberk threats init` writes a sample. Every word is checked on reading.
"""

from __future__ import annotations

from datetime import date  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import msgspec

from hauberk.core.errors import ConfigError, UnknownNameError
from hauberk.govern import catalogues
from hauberk.govern.atlas_use import KNOWLEDGE
from hauberk.govern.roles import shipped as governance
from hauberk.govern.strict import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Value = Literal["low", "moderate", "high", "severe", "critical"]
STAGES = ("design", "data", "training", "evaluation", "deployment", "operations")
KINDS = (
    "service", "model", "dataset", "pipeline", "store", "registry", "monitor", "person", "external",
)  # fmt: skip
TRAITS = (
    "network-facing", "authenticated", "encrypted", "logged", "third-party", "shared-storage",
    "personal-data", "holds-secrets", "loads-models", "retrains",
)  # fmt: skip
CAPABILITIES = (
    "query", "network", "publish", "inject-data", "read-storage", "write-storage", "insider",
)  # fmt: skip
VALUES: dict[str, int] = {name: n for n, name in enumerate(get_args(Value), 1)}


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that it does not know is an error."""


class About(_Table, frozen=True, kw_only=True):
    """What the system is called, who answers for it, and how old evidence may be."""

    name: Words
    owner: Words
    max_age_days: Annotated[float, msgspec.Meta(gt=0.0, le=3660.0)] = 30.0


class Asset(_Table, frozen=True, kw_only=True):
    """Something of value; what its loss would cost."""

    id: Name
    value: Value


class Boundary(_Table, frozen=True, kw_only=True):
    """A zone of trust; a flow between two of them crosses a boundary."""

    id: Name


class Component(_Table, frozen=True, kw_only=True):
    """A part of the system, at one stage of the model's life."""

    id: Name
    kind: str
    stage: str
    boundary: str
    holds: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    role: str | None = None


class Flow(_Table, frozen=True, kw_only=True):
    """What goes from one component to another."""

    id: Name
    source: str
    target: str
    carries: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()


class Attacker(_Table, frozen=True, kw_only=True):
    """Someone by what they know of the model and what they can do."""

    id: Name
    knowledge: str
    capabilities: tuple[str, ...]


class Claim(_Table, frozen=True, kw_only=True):
    """A control that its owner says is in place; at ``components``, or everywhere."""

    id: str
    owner: Words
    components: tuple[str, ...] = ()


class Acceptance(_Table, frozen=True, kw_only=True):
    """A threat that its owner lives with until ``expires`` (UTC, that day excluded)."""

    threat: str
    owner: Words
    reason: Words
    expires: date


class System(_Table, frozen=True, kw_only=True):
    """The whole file.

    Raises:
        ConfigError: if an id occurs twice or there is no component.
        UnknownNameError: if something names what does not exist; the nearest is named.
    """

    system: About
    asset: tuple[Asset, ...] = ()
    boundary: tuple[Boundary, ...] = ()
    component: tuple[Component, ...] = ()
    flow: tuple[Flow, ...] = ()
    attacker: tuple[Attacker, ...] = ()
    control: tuple[Claim, ...] = ()
    accept: tuple[Acceptance, ...] = ()

    def __post_init__(self) -> None:
        if not self.component or not self.attacker:
            raise ConfigError("a system needs a component and an attacker", where=self.system.name)
        _ids(self.asset, "asset")
        boundaries = _ids(self.boundary, "boundary")
        elements = _ids((*self.component, *self.flow), "component or flow")
        components = [one.id for one in self.component]
        _ids(self.attacker, "attacker")
        for part in self.component:
            known(part.kind, KINDS, "kind of component")
            known(part.stage, STAGES, "stage")
            known(part.boundary, boundaries, "boundary")
            if part.role is not None:
                known(part.role, governance().roles, "role")
        for flow in self.flow:
            known(flow.source, components, "component")
            known(flow.target, components, "component")
        for part in self.component:
            self._check_words(part.holds, part.traits)
        for flow in self.flow:
            self._check_words(flow.carries, flow.traits)
        for attacker in self.attacker:
            known(attacker.knowledge, KNOWLEDGE, "knowledge")
            for capability in attacker.capabilities:
                known(capability, CAPABILITIES, "capability")
        for claim in self.control:
            known(claim.id, catalogues.table("controls.toml"), "control")
            for place in claim.components:
                known(place, elements, "component or flow")

    def _check_words(self, assets: tuple[str, ...], traits: tuple[str, ...]) -> None:
        for asset in assets:
            known(asset, [one.id for one in self.asset], "asset")
        for trait in traits:
            known(trait, TRAITS, "trait")

    def find(self, ident: str) -> Component:
        """The component of an id that is known to exist."""
        return next(one for one in self.component if one.id == ident)

    def crosses(self, flow: Flow) -> bool:
        """Whether a flow crosses a trust boundary."""
        return self.find(flow.source).boundary != self.find(flow.target).boundary

    def worth(self, assets: tuple[str, ...]) -> int:
        """The value of the dearest of some assets, from 1 to 5; 2 where none is named."""
        return max((VALUES[one.value] for one in self.asset if one.id in assets), default=2)


def read_system(data: bytes, *, where: str = "threats.toml") -> System:
    """The system of a TOML text.

    Raises:
        ConfigError: if it is malformed.
        UnknownNameError: if it names what does not exist; the nearest is named.
    """
    return read_toml(data, System, where=where)


def known(name: str, names: Iterable[str], kind: str) -> None:
    """Do nothing if ``name`` is among ``names``.

    Raises:
        UnknownNameError: if it is not; the nearest is named.
    """
    choices = list(names)
    if name not in choices:
        raise UnknownNameError(name, choices, kind=kind)


def _ids(items: tuple[Asset | Boundary | Component | Flow | Attacker, ...], kind: str) -> list[str]:
    found = [one.id for one in items]
    for ident in found:
        if found.count(ident) > 1:
            raise ConfigError(f"{kind} {ident!r} occurs twice", where="system")
    return found
