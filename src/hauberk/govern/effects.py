"""What each mitigation of ATLAS was measured to do: before, after and cost, or "unmeasured"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hauberk.core.digest import short
from hauberk.core.interval import wilson
from hauberk.govern import catalogues
from hauberk.govern.rows import number, row
from hauberk.govern.taken import newest, taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hauberk.core.ports import Entry
    from hauberk.govern.atlas import Catalogue
    from hauberk.govern.taken import Taken

State = Literal["measured", "checked", "unmeasured"]
UNMEASURED = "unmeasured"
HEAD = ("mitigation", "state", "checked by", "before", "after", "cost", "subject")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One mitigation. ``measured``: before and after are known; ``checked``: its check ran."""

    mitigation: str
    name: str
    state: State
    rules: tuple[str, ...]
    checks: tuple[str, ...] = ()
    before: str = UNMEASURED
    after: str = UNMEASURED
    cost: str = UNMEASURED
    subject: str = ""

    @property
    def cells(self) -> list[str]:
        """The cells of a row, in the order of ``HEAD``."""
        return [
            f"{self.mitigation} {self.name}",
            self.state,
            "; ".join(self.checks) or ", ".join(self.rules) or "no check",
            self.before,
            self.after,
            self.cost,
            self.subject,
        ]


def measuring(mitigation: str) -> tuple[str, ...]:
    """The rules that measure a mitigation; empty where none does."""
    return tuple(catalogues.table("effects.toml").get(mitigation, {}).get("rules", ()))


def effects(catalogue: Catalogue, entries: Sequence[Entry]) -> tuple[Effect, ...]:
    """The effect of every mitigation, by the newest evidence in the ledger."""
    found = newest(taken(entries))
    judged = next((e for e in reversed(entries) if "figures" in e.body), None)
    return tuple(_effect(one.id, one.name, found, judged) for one in catalogue.mitigations)


def _effect(ident: str, name: str, found: Mapping[str, Taken], judged: Entry | None) -> Effect:
    known = catalogues.table("effects.toml").get(ident, {})
    rules = tuple(known.get("rules", ()))
    ran = [found[code] for code in rules if code in found]
    checks = tuple(_told(item) for item in ran)
    pair = _pair(judged, known["attack"]) if judged is not None and "attack" in known else None
    if pair is None or judged is None:
        state: State = "checked" if ran else "unmeasured"
        return Effect(mitigation=ident, name=name, state=state, rules=rules, checks=checks)
    cost = found.get(known.get("cost", ""))
    return Effect(
        mitigation=ident,
        name=name,
        state="measured",
        rules=rules,
        checks=checks,
        before=pair[0],
        after=pair[1],
        cost=_told(cost) if cost is not None else UNMEASURED,
        subject=short(judged.subject),
    )


def _told(item: Taken) -> str:
    shown = row(item.evidence)
    return f"{shown.rule} {shown.measured} ({shown.status})"


def _pair(judged: Entry, attack: str) -> tuple[str, str] | None:
    """Accuracy before and after under an attack, at the radius of the middle of those tried."""
    rows = [one for one in _figures(judged.body.get("figures")) if one["attack"] == attack]
    if not rows:
        return None
    middle = sorted(rows, key=lambda one: float(one["eps"]))[(len(rows) - 1) // 2]
    return _share(middle, "before"), _share(middle, "after")


def _figures(value: Any) -> Iterable[dict[str, Any]]:
    needed = {"attack", "eps", "n", "before", "after"}
    return [one for one in value or () if isinstance(one, dict) and needed <= one.keys()]


def _share(one: dict[str, Any], which: str) -> str:
    right, n = int(one[which]), int(one["n"])
    low, high = wilson(right, n)
    share = right / n if n else 0.0
    return f"{number(share)} [{number(low)}, {number(high)}] at eps {number(float(one['eps']))}"
