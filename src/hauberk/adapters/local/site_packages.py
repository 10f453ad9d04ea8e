"""The packages that are installed in an environment: their metadata, records and start-up files."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from hauberk.core.errors import UserError
from hauberk.vet.case import Case
from hauberk.vet.finding import Coverage, Vetted
from hauberk.vet.installed import vet_metadata, vet_path_file, vet_record
from hauberk.vet.run import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hauberk.vet.advisory import Known

_LONGEST = 64 << 20
_PIECE = 1 << 20


def vet_environment(folder: Path, known: Known) -> Iterator[Vetted]:
    """The result for each package of an environment, and each file that runs at its start.

    ``folder`` is a virtual environment or a ``site-packages``.

    Raises:
        UserError: if it is neither.
    """
    places = [folder] if _holds_packages(folder) else _within(folder)
    if not places:
        raise UserError(
            "no packages are installed there", where=str(folder), hint="name a site-packages folder"
        )
    for place in places:
        for info in sorted(place.glob("*.dist-info")):
            yield _package(info, place, known)
        for egg in sorted(place.glob("*.egg-info")):
            yield _egg(egg, known)
        for start in sorted(place.glob("*.pth")):
            case = _case(known)
            vet_path_file(_text(start), case, str(start))
            yield _vetted(start, "path file", case)


def _holds_packages(folder: Path) -> bool:
    return any(folder.glob("*.dist-info"))


def _within(folder: Path) -> list[Path]:
    return sorted({one.parent for one in folder.glob("lib*/python*/site-packages/*.dist-info")})


def _package(info: Path, place: Path, known: Known) -> Vetted:
    case = _case(known)
    metadata, record = info / "METADATA", info / "RECORD"
    if metadata.is_file():
        vet_metadata(_text(metadata), case, str(info))
    else:
        case.gap("it has no metadata", str(info))
    if record.is_file():
        vet_record(_text(record), lambda name: _digest(place, name), case, str(info))
    else:
        case.gap("it has no record of its files", str(info))
    return _vetted(info, "package", case)


def _egg(egg: Path, known: Known) -> Vetted:
    case = _case(known)
    metadata = egg / "PKG-INFO" if egg.is_dir() else egg
    if metadata.is_file():
        vet_metadata(_text(metadata), case, str(egg))
    case.gap("an egg has no record of its files", str(egg))
    return _vetted(egg, "package", case)


def _digest(place: Path, name: str) -> str | None:
    """The SHA-256 of a file as a record writes it; None if it is not there."""
    path = place / name
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST).decode("utf-8", "replace")


def _case(known: Known) -> Case:
    return Case(size=0, inspect=inspect, known=known)


def _vetted(path: Path, kind: str, case: Case) -> Vetted:
    return Vetted(
        path=str(path),
        kind=kind,
        coverage=Coverage.PARTIAL if case.partial else Coverage.FULL,
        findings=tuple(case.findings),
        traits=frozenset(case.traits),
    )
