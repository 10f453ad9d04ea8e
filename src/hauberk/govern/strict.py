"""Users' TOML files read strictly: an unknown key is an error that names the nearest one."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from hauberk.core.errors import ConfigError

MAX_FILE = 1 << 20
_MAX_ITEMS = 5000
S = TypeVar("S", bound=msgspec.Struct)


def read_toml(data: bytes, kind: type[S], *, where: str) -> S:
    """The struct that a TOML text holds.

    Raises:
        ConfigError: if it is too large, no TOML, or has an unknown key, a wrong type or a value
            out of range.
    """
    if len(data) > MAX_FILE:
        raise ConfigError(f"larger than {MAX_FILE} bytes", where=where)
    try:
        tree = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where) from None
    _reject_unknown(tree, kind, where=where, path="")
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, at = str(error).partition(" - at `$")
        key = at.rstrip("`").lstrip(".")
        raise ConfigError(
            text[:1].lower() + text[1:], where=f"{where}: {key}" if key else where
        ) from None


def _reject_unknown(tree: Any, kind: Any, *, where: str, path: str) -> None:
    kind = next((one for one in get_args(kind) if NoneType in get_args(kind)), kind)
    if isinstance(tree, list):
        if len(tree) > _MAX_ITEMS:
            raise ConfigError(f"more than {_MAX_ITEMS} items in {path!r}", where=where)
        inner = next((one for one in get_args(kind) if _is_struct(one)), None)
        for number, item in enumerate(tree if inner else ()):
            _reject_unknown(item, inner, where=where, path=f"{path}[{number}]")
        return
    if get_origin(kind) is dict and isinstance(tree, dict):
        for key, item in tree.items():
            _reject_unknown(item, get_args(kind)[1], where=where, path=f"{path}.{key}")
        return
    if not _is_struct(kind) or not isinstance(tree, dict):
        return
    fields = {one.encode_name: one.type for one in msgspec.structs.fields(kind)}
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        if key not in fields:
            near = get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(fields)}"
            raise ConfigError(f"unknown key {name!r}", where=where, hint=hint)
        _reject_unknown(value, fields[key], where=where, path=name)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
