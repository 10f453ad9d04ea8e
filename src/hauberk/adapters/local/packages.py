"""The libraries that are installed here, and what they require, from their own metadata."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from hauberk.govern.bom_facts import Package

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST = 2000


def installed(root: str = "hauberk") -> list[Package]:
    """A distribution and all that it requires, as far as it is installed; by name.

    Requirements of extras are left out, since nothing says which were asked for.
    """
    found: dict[str, Package] = {}
    waiting = [_canonical(root)]
    while waiting and len(found) < _MOST:
        name = waiting.pop()
        if name in found:
            continue
        try:
            package = _package(name, distribution(name))
        except PackageNotFoundError:
            continue
        found[name] = package
        waiting += package.requires
    return [found[name] for name in sorted(found)]


def _package(name: str, found: Distribution) -> Package:
    told = found.metadata.json
    license_text = str(told.get("license_expression") or told.get("license") or "")
    one_line = license_text.strip().splitlines()[0][:100] if license_text.strip() else ""
    return Package(
        name=name,
        version=found.version,
        license=one_line,
        requires=tuple(sorted(_required(found.requires or []))),
    )


def _required(lines: list[str]) -> set[str]:
    names = set()
    for line in lines:
        requirement, _, marker = line.partition(";")
        match = _NAME.match(requirement)
        if match and "extra" not in marker:
            names.add(_canonical(match.group()))
    return names


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
