"""One text names a model: a file, or ``kind:name`` of a plug-in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from hauberk.adapters.models.load import load
from hauberk.adapters.models.onnx_beside import files_beside
from hauberk.adapters.models.prepared import prepared
from hauberk.adapters.models.session import read_model
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


def open_prepared(argument: str) -> Model:
    """``SETTINGS@MODEL``: a model behind what its inputs go through first.

    Raises:
        ConfigError: if a setting is unknown or no number.
    """
    settings, _, text = argument.partition("@")
    return prepared(open_model(text), settings)


def model_digest(text: str) -> str:
    """The digest of a file's content, or of the name by which a plug-in knows its model.

    In such a name every part that is a file stands for its content. To a graph with tensors in
    files beside it these belong too.

    Raises:
        ModelFormatError: if there is no such file.
    """
    kind, argument = _plugin(text)
    if kind:
        parts = [_file_digest(Path(one)) if _is_file(one) else one for one in _parts(argument)]
        return digest_bytes(f"{kind}:{''.join(parts)}".encode())
    if not Path(text).is_file():
        raise ModelFormatError("no such file", where=text)
    return _file_digest(Path(text))


def located(text: str) -> str:
    """The same, from whatever folder it is asked about."""
    kind, argument = _plugin(text)
    if not kind:
        return str(Path(text).absolute())
    parts = [str(Path(one).absolute()) if _is_file(one) else one for one in _parts(argument)]
    return f"{kind}:{''.join(parts)}"


def _parts(argument: str) -> list[str]:
    """What colons and at signs part, and these themselves; one file if it is one as it stands."""
    return [argument] if _is_file(argument) else re.split("([:@])", argument)


def _file_digest(path: Path) -> str:
    own = digest_file(path)
    beside = files_beside(path, read_model(path)[0])
    return digest_bytes("".join([own, *map(digest_file, beside)]).encode()) if beside else own


def _is_file(text: str) -> bool:
    return bool(text) and Path(text).is_file()


def _plugin(text: str) -> tuple[str, str]:
    kind, colon, argument = text.partition(":")
    return (kind, argument) if colon and kind in names("model") else ("", "")
