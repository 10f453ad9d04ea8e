"""The files of a model on disk, hashed: what a model signature is about."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hauberk.adapters.local.files import faults
from hauberk.core.digest import digest_file
from hauberk.core.errors import UserError
from hauberk.govern.model_signing import MAX_FILES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

GIT = (".git", ".gitattributes", ".github", ".gitignore")


def hash_model(model: Path, *, ignore: Collection[str] = ()) -> dict[str, str]:
    """Digest of every file below a folder by its name there; ``.`` where the model is one file.

    ``ignore`` names files and folders to leave out, relative to the model.

    Raises:
        UserError: if there is no such model, it holds a link or a special file, or too many files.
        EnvironmentFault: if a file cannot be read.
    """
    if model.is_symlink() or not model.exists():
        raise UserError("no such file or folder", where=str(model), hint="links are not followed")
    if model.is_file():
        with faults(model):
            return {".": digest_file(model)}
    left_out = {PurePosixPath(one) for one in ignore}
    found: dict[str, str] = {}
    for path in _files(model):
        name = PurePosixPath(path.relative_to(model).as_posix())
        if left_out.isdisjoint({name, *name.parents}):
            _check(path)
            with faults(path):
                found[str(name)] = digest_file(path)
            if len(found) > MAX_FILES:
                raise UserError(f"more than {MAX_FILES} files", where=str(model))
    return found


def inside(model: Path, path: Path) -> str | None:
    """The name of a path relative to a model; None if it lies elsewhere."""
    try:
        return path.resolve().relative_to(model.resolve()).as_posix()
    except ValueError:
        return None


def _files(model: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"cannot be read: {error.strerror}", where=str(error.filename))

    for folder, folders, files in os.walk(model, onerror=refuse):
        for name in (*files, *(one for one in folders if (Path(folder) / one).is_symlink())):
            yield Path(folder) / name


def _check(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise UserError(
            "a link or a special file", where=str(path), hint="sign plain files, or ignore it"
        )
