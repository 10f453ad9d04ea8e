"""One text names a model: a file, or ``kind:name`` of a plug-in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hauberk.adapters.models.load import load
from hauberk.core.digest import digest_bytes, digest_file
from hauberk.core.errors import ModelFormatError
from hauberk.core.registry import find, names

if TYPE_CHECKING:
    from hauberk.core.model import Model


def open_model(text: str) -> Model:
    """The model of a file, or what the plug-in ``kind`` in the group ``hauberk.model`` gives.

    A plug-in is called with what follows the colon.

    Raises:
        ModelFormatError: if the file is damaged or of a format that is not let in (HB-S004).
    """
    kind, argument = _plugin(text)
    if not kind:
        return load(Path(text))
    model: Model = find("model", kind)(argument)
    return model


def model_digest(text: str) -> str:
    """The digest of a file's content, or of the name by which a plug-in knows its model.

    Raises:
        ModelFormatError: if there is no such file.
    """
    kind, argument = _plugin(text)
    if kind and Path(argument).is_file():
        return digest_bytes(f"{kind}:{digest_file(Path(argument))}".encode())
    if kind:
        return digest_bytes(text.encode())
    if not Path(text).is_file():
        raise ModelFormatError("no such file", where=text)
    return digest_file(Path(text))


def located(text: str) -> str:
    """The same, from whatever folder it is asked about."""
    kind, argument = _plugin(text)
    if not kind:
        return str(Path(text).absolute())
    return f"{kind}:{Path(argument).absolute()}" if Path(argument).is_file() else text


def _plugin(text: str) -> tuple[str, str]:
    kind, colon, argument = text.partition(":")
    return (kind, argument) if colon and kind in names("model") else ("", "")
