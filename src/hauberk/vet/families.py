"""Which rules a kind of file was held against: what passed is said for these alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hauberk.vet.finding import Vetted

_ANY = ("HB-V003",)
_MODEL = ("HB-V001", "HB-V002", "HB-V004", "HB-V005", "HB-V006", "HB-V009", "HB-V010")
_PACKAGES = tuple(f"HB-V20{n}" for n in range(1, 7))
_SETTINGS = (*(f"HB-V{n}" for n in range(101, 109)), "HB-V110")
_GATEWAY = ("HB-V111", "HB-V112", "HB-V113")
_DATA = tuple(f"HB-V30{n}" for n in range(1, 10))
_SECRETS = ("HB-V109",)
_TEXTS = frozenset({"text", "json"})


def rules_of(file: Vetted) -> tuple[str, ...]:
    """The rules that speak about a file, whether or not it broke them."""
    broken = {one.rule for one in file.findings}
    traits = {one.partition(" ")[0] for one in file.traits}
    found: tuple[str, ...] = _ANY
    if file.kind == "samples" or "table" in traits:
        found += _DATA
        if file.kind == "samples":
            found += ("HB-V310",)
    elif file.kind == "package":
        found += (*_PACKAGES, "HB-V207")
    elif file.kind in _TEXTS:
        found += _SECRETS
        if "package" in traits or "packages" in traits or broken & set(_PACKAGES):
            found += _PACKAGES
        elif "settings" in traits or traits & {"workload", "policy"}:
            found += _SETTINGS
        if "gateway" in traits:
            found += _GATEWAY
    else:
        found += _MODEL
    return (*found, *sorted(broken - set(found)))
