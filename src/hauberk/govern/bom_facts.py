"""What a bill of materials is made from: the ledger's entries about one model, and nothing newer.

The time of a bill is that of the newest entry in it, so the same ledger gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hauberk.core.digest import check_digest, short
from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.ports import Entry, Ledger


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed library: its licence as declared, and the names that it requires."""

    name: str
    version: str
    license: str = ""
    requires: tuple[str, ...] = ()

    @property
    def purl(self) -> str:
        """Its package URL (purl specification, type ``pypi``)."""
        return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{self.version.replace('+', '%2B')}"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What no measurement tells: the supplier, the licence (an SPDX id) and the intended use."""

    supplier: str = ""
    license: str = ""
    use: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One model with its entries in the ledger, its data, and the software that it runs on."""

    model: Entry
    dataset: Entry | None
    decision: Entry | None
    evidence: tuple[Entry, ...]
    signatures: tuple[Entry, ...]
    deployments: tuple[Entry, ...]
    packages: tuple[Package, ...]
    declared: Declared

    @property
    def digest(self) -> str:
        """The model's digest."""
        return self.model.subject

    @property
    def at(self) -> str:
        """The time of the newest entry, in UTC."""
        entries = (self.model, *self.evidence, *self.signatures, *self.deployments)
        newest = max(entry.at for entry in entries)
        return datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def made_at(self) -> str:
        """The time at which the model was entered, in UTC."""
        return datetime.fromtimestamp(self.model.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def in_service(self) -> bool:
        """Whether a routing ever named the model."""
        return bool(self.deployments)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the newest decision that hold a figure."""
        rows = self.decision.body.get("rows", ()) if self.decision else ()
        return [row for row in rows if row.get("measured") is not None]


def gather(
    ledger: Ledger,
    digest: str,
    *,
    packages: Sequence[Package] = (),
    declared: Declared = Declared(),
) -> Facts:
    """Read what the ledger holds about a model.

    Raises:
        UserError: if it holds no such model.
        Untrusted: if an entry was altered.
    """
    models = ledger.entries(kind="model", subject=check_digest(digest))
    if not models:
        raise UserError(f"no model {short(digest)} in the ledger", hint="`hauberk models list`")
    data = models[0].body.get("dataset")
    sets = ledger.entries(kind="dataset", subject=data) if isinstance(data, str) else []
    decisions = ledger.entries(kind="decision", subject=digest)
    used = [
        entry
        for entry in ledger.entries(kind="deployment")
        if digest in {entry.body.get(part) for part in ("primary", "twin", "canary")}
    ]
    return Facts(
        model=models[0],
        dataset=sets[-1] if sets else None,
        decision=decisions[-1] if decisions else None,
        evidence=tuple(ledger.entries(kind="evidence", subject=digest)),
        signatures=tuple(ledger.entries(kind="signature", subject=digest)),
        deployments=tuple(used),
        packages=tuple(sorted(packages, key=lambda one: one.purl)),
        declared=declared,
    )
