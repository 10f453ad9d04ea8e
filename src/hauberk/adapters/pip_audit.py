"""pip-audit as an index that is asked online; needs the extra ``audit``.

It is run as a program of its own, over a list of exact versions, and resolves nothing. What it
skips, or does not answer, is unknown here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import EnvironmentFault
from hauberk.vet.advisory import Advisory, Release, canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE = 120.0


class PipAudit:
    """The answers about some exact versions; ``as_of`` is the time of asking."""

    def __init__(self, answers: Mapping[str, Any], *, at: float) -> None:
        self.as_of = at
        self._advisories: dict[str, list[Advisory]] = {}
        self._releases: dict[str, dict[str, Release]] = {}
        for one in answers.get("dependencies") or ():
            name, version = canonical(str(one.get("name"))), str(one.get("version") or "")
            if not version or "skip_reason" in one:
                continue
            self._releases.setdefault(name, {})[version] = Release()
            found = self._advisories.setdefault(name, [])
            found += [_advisory(hole, name, version) for hole in one.get("vulns") or ()]

    def advisories(self, package: str, /) -> Sequence[Advisory]:
        return self._advisories.get(package, [])

    def releases(self, package: str, /) -> Mapping[str, Release] | None:
        return self._releases.get(package)


def ask(exact: Sequence[tuple[str, ...]], *, at: float, command: Sequence[str] = ()) -> PipAudit:
    """Ask about exact versions: pairs of a name and a version.

    Raises:
        EnvironmentFault: if pip-audit is not installed, fails, or does not answer in time.
    """
    run = list(command) or [sys.executable, "-m", "pip_audit"]
    with tempfile.TemporaryDirectory(prefix="hauberk-") as folder:
        listed = Path(folder, "requirements.txt")
        listed.write_text("".join(f"{name}=={version}\n" for name, version in exact))
        flags = ["--format", "json", "--progress-spinner", "off", "--no-deps", "--disable-pip"]
        try:
            done = subprocess.run(
                [*run, "-r", str(listed), *flags],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFault(f"pip-audit did not answer: {error}") from None
    try:
        answers = json.loads(done.stdout)
    except ValueError:
        told = (done.stderr.strip().splitlines() or ["it says nothing"])[-1][:200]
        raise EnvironmentFault(
            f"pip-audit failed: {told}", hint="install hauberk[audit], or import advisories"
        ) from None
    if not isinstance(answers, dict):
        raise EnvironmentFault("pip-audit answers in a form that is not known")
    return PipAudit(answers, at=at)


def _advisory(hole: Mapping[str, Any], name: str, version: str) -> Advisory:
    return Advisory(
        ident=str(hole.get("id") or "?"),
        package=name,
        summary=str(hole.get("description") or "")[:300],
        aliases=tuple(map(str, hole.get("aliases") or ())),
        versions=frozenset({version}),
        fixed=tuple(map(str, hole.get("fix_versions") or ())),
    )
