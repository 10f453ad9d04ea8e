"""MITRE ATLAS as nouns: tactics, techniques, mitigations, and what mitigates what.

The catalogue that ships is version 5.6.0 (MITRE, Apache-2.0; the licence lies beside it); another
is read with :func:`hauberk.govern.atlas_read.read_catalogue`.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

import msgspec

from hauberk.core.errors import DataError, UnknownNameError
from hauberk.govern import catalogues

if TYPE_CHECKING:
    from collections.abc import Mapping

SHIPPED = "atlas-5.6.0.json"
NONE_LISTED = "ATLAS lists none"
# Ids that a later release of ATLAS gave to the same thing (its change log, 4.5.0 and 2026.07).
RENAMED: dict[str, str] = {
    "AML.T0019": "AML.T0115.000",
    "AML.T0045": "AML.T0048.004",
    "AML.T0058": "AML.T0115.001",
    "AML.T0104": "AML.T0115.002",
}
_FORMER = {new: old for old, new in RENAMED.items()}


class _Noun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kept as JSON and read back strictly."""


class Tactic(_Noun, frozen=True, kw_only=True):
    """Why an attacker acts; the catalogue keeps them in the order of the matrix."""

    id: str
    name: str


class Technique(_Noun, frozen=True, kw_only=True):
    """How an attacker acts. A sub-technique names its ``parent`` and shares its tactics."""

    id: str
    name: str
    description: str = ""
    tactics: tuple[str, ...] = ()
    parent: str | None = None
    maturity: str = ""
    platforms: tuple[str, ...] = ()


class Mitigation(_Noun, frozen=True, kw_only=True):
    """What may help; ``techniques`` maps the ids it helps against to how."""

    id: str
    name: str
    description: str = ""
    categories: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    techniques: dict[str, str] = {}


class CaseStudy(_Noun, frozen=True, kw_only=True):
    """What happened once, by which techniques."""

    id: str
    name: str
    techniques: tuple[str, ...] = ()


class Catalogue(_Noun, frozen=True, kw_only=True, dict=True):
    """One release of ATLAS; ``source`` is the digest of the file it was read from."""

    version: str
    format: str
    source: str
    tactics: tuple[Tactic, ...]
    techniques: tuple[Technique, ...]
    mitigations: tuple[Mitigation, ...]
    studies: tuple[CaseStudy, ...] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Technique]:
        """Techniques by id."""
        return {one.id: one for one in self.techniques}

    @property
    def label(self) -> str:
        """What a finding cites: ``ATLAS 5.6.0``."""
        return f"ATLAS {self.version}"

    def resolve(self, ident: str) -> str:
        """The id of the same technique in this release, whichever release it was written for.

        Raises:
            UnknownNameError: if this release has no such technique; the nearest is named.
        """
        known = self.by_id
        for candidate in (ident, RENAMED.get(ident), _FORMER.get(ident)):
            if candidate is not None and candidate in known:
                return candidate
        raise UnknownNameError(ident, known, kind=f"technique in {self.label}")

    def technique(self, ident: str) -> Technique:
        """The technique of an id; raises as :meth:`resolve` does."""
        return self.by_id[self.resolve(ident)]

    def mitigation(self, ident: str) -> Mitigation:
        """The mitigation of an id.

        Raises:
            UnknownNameError: if there is none.
        """
        known = {one.id: one for one in self.mitigations}
        if ident not in known:
            raise UnknownNameError(ident, known, kind=f"mitigation in {self.label}")
        return known[ident]

    def title(self, technique: Technique) -> str:
        """The name, with the parent's before it for a sub-technique."""
        parent = self.by_id.get(technique.parent or "")
        return f"{parent.name}: {technique.name}" if parent else technique.name

    def tactics_of(self, technique: Technique) -> tuple[str, ...]:
        """Its tactics, or its parent's where it has none of its own."""
        parent = self.by_id.get(technique.parent or "")
        return technique.tactics or (parent.tactics if parent else ())

    def mitigations_of(self, technique: Technique) -> tuple[Mitigation, ...]:
        """What ATLAS lists against it or its parent; empty is "ATLAS lists none", not covered."""
        ids = {technique.id, technique.parent}
        return tuple(one for one in self.mitigations if ids & one.techniques.keys())

    def unmitigated(self) -> tuple[Technique, ...]:
        """The techniques against which ATLAS lists nothing, nor against their parent."""
        return tuple(one for one in self.techniques if not self.mitigations_of(one))

    def to_json(self) -> bytes:
        """The catalogue as JSON, one object a line, the same bytes for the same catalogue."""
        parts = {name: getattr(self, name) for name in self.__struct_fields__}
        lines = ["{"]
        for name, value in parts.items():
            if isinstance(value, tuple):
                rows = ",\n".join(
                    msgspec.json.encode(row, order="sorted").decode() for row in value
                )
                lines.append(f'"{name}": [\n{rows}\n],')
            else:
                lines.append(f'"{name}": {msgspec.json.encode(value).decode()},')
        lines[-1] = lines[-1].removesuffix(",")
        return ("\n".join([*lines, "}"]) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, *, where: str = "catalogue") -> Catalogue:
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: if it is something else.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"not a catalogue: {error}", where=where) from None


@cache
def shipped() -> Catalogue:
    """The catalogue that comes with the product."""
    return Catalogue.from_json(catalogues.text(SHIPPED), where=SHIPPED)
