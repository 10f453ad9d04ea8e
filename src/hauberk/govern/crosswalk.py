"""CoSAI's controls beside ours: by the mitigations of ATLAS that both name, down to the rules.

The shipped mapping is by ids alone; a newer file of CoSAI's own (Apache-2.0) can be read instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import ConfigError
from hauberk.govern import catalogues

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_COVERED = "not covered"
HEAD = ("CoSAI control", "risks", "ATLAS", "NIST AI RMF", "OWASP LLM", "our controls", "rules")
_MOST = 5000


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One control of CoSAI's: its mapping, our controls that answer it, and their rules."""

    id: str
    risks: tuple[str, ...]
    atlas: tuple[str, ...]
    nist: tuple[str, ...]
    owasp: tuple[str, ...]
    controls: tuple[str, ...]
    rules: tuple[str, ...]

    @property
    def cells(self) -> list[str]:
        """The cells of a row, in the order of ``HEAD``."""
        lists = (self.risks, self.atlas, self.nist, self.owasp)
        told = [", ".join(one) or "-" for one in lists]
        return [
            self.id,
            *told,
            ", ".join(self.controls) or NOT_COVERED,
            ", ".join(self.rules) or NOT_COVERED,
        ]


def crosswalk(told: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Crossing, ...]:
    """Every control of CoSAI's in the order of the file; the shipped file if none is told."""
    entries = catalogues.table("cosai.toml") if told is None else told
    return tuple(_crossing(name, entry) for name, entry in entries.items())


def controls() -> tuple[tuple[str, str, str, str], ...]:
    """Our own controls: id, title, mitigations and rules, or that no rule covers one."""
    return tuple(
        (
            name,
            str(one["title"]),
            ", ".join(one.get("mitigations", ())) or "-",
            ", ".join(one.get("rules", ())) or NOT_COVERED,
        )
        for name, one in catalogues.table("controls.toml").items()
    )


def read_cosai(tree: Any, *, where: str) -> dict[str, dict[str, Any]]:
    """The mapping that a ``controls.yaml`` of CoSAI's holds, by the control's id.

    Raises:
        ConfigError: if it is none.
    """
    listed = tree.get("controls") if isinstance(tree, dict) else None
    if not isinstance(listed, list) or len(listed) > _MOST:
        raise ConfigError("no list of controls", where=where, hint="name CoSAI's controls.yaml")
    shipped = catalogues.table("cosai.toml")
    found: dict[str, dict[str, Any]] = {}
    for one in listed:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            raise ConfigError("a control without an id", where=where)
        maps = one.get("mappings") if isinstance(one.get("mappings"), dict) else {}
        assert isinstance(maps, dict)
        risks = one.get("risks")
        found[one["id"]] = {
            "atlas": _ids(maps.get("mitre-atlas")),
            "nist": _ids(maps.get("nist-ai-rmf")),
            "owasp": _ids(maps.get("owasp-top10-llm")),
            "risks": risks if isinstance(risks, list) else [str(risks)] if risks else [],
            "controls": shipped.get(one["id"], {}).get("controls", []),
        }
    return found


def _crossing(name: str, entry: Mapping[str, Any]) -> Crossing:
    ours = catalogues.table("controls.toml")
    atlas = tuple(map(str, entry.get("atlas", ())))
    answering = [
        control
        for control, one in ours.items()
        if set(one.get("mitigations", ())) & set(atlas) or control in entry.get("controls", ())
    ]
    rules = dict.fromkeys(rule for one in answering for rule in ours[one].get("rules", ()))
    return Crossing(
        id=name,
        risks=tuple(map(str, entry.get("risks", ()))),
        atlas=atlas,
        nist=tuple(map(str, entry.get("nist", ()))),
        owasp=tuple(map(str, entry.get("owasp", ()))),
        controls=tuple(answering),
        rules=tuple(rules),
    )


def _ids(listed: Any) -> list[str]:
    """Ids without the edition that newer files write behind them."""
    return [str(one).partition("@")[0] for one in listed] if isinstance(listed, list) else []
