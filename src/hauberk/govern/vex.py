"""What is known of the holes in packages, and what was decided about them: CycloneDX 1.6 VEX.

ECMA-424, ``vulnerabilities[].analysis``. A hole that nobody decided about is in triage; one that a
waiver lets go is exploitable and stays, or not affecting where the waiver justifies that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from hauberk.core.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.govern.waivers import Waiver


@dataclass(frozen=True, kw_only=True)
class Hole:
    """One advisory about one package in one file, and the waiver that lets it go."""

    advisory: str
    name: str
    version: str
    detail: str
    where: str
    waiver: Waiver | None = None

    @property
    def purl(self) -> str:
        """The package as a package URL."""
        return f"pkg:pypi/{quote(self.name)}@{quote(self.version)}"


def vex(holes: Sequence[Hole], *, at: float, version: str) -> dict[str, Any]:
    """The holes as one document; ``version`` is that of this program, ``at`` is in seconds."""
    ordered = sorted(holes, key=lambda one: (one.advisory, one.purl, one.where))
    packages = {one.purl: one for one in ordered}
    told: dict[tuple[str, str], dict[str, Any]] = {}
    for one in ordered:
        entry = told.setdefault(
            (one.advisory, one.purl),
            {
                "id": one.advisory,
                "description": one.detail,
                "affects": [{"ref": one.purl}],
                "analysis": _analysis(one.waiver),
            },
        )
        if one.waiver is None:  # let go in one file, and not in another
            entry["analysis"] = _analysis(None)
    result: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {
                "components": [{"type": "application", "name": "hauberk", "version": version}]
            },
        },
        "components": [
            {
                "type": "library",
                "bom-ref": purl,
                "name": one.name,
                "version": one.version,
                "purl": purl,
            }
            for purl, one in sorted(packages.items())
        ],
        "vulnerabilities": list(told.values()),
    }
    result["serialNumber"] = uuid5(NAMESPACE_URL, digest_json(result)).urn
    return result


def _analysis(waiver: Waiver | None) -> dict[str, Any]:
    if waiver is None:
        return {"state": "in_triage"}
    if waiver.justification:
        return {
            "state": "not_affected",
            "justification": waiver.justification,
            "detail": str(waiver),
        }
    return {"state": "exploitable", "response": ["will_not_fix"], "detail": str(waiver)}
