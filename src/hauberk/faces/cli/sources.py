"""Where each setting comes from: default, then file, then environment, then flag."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec

from hauberk.core.errors import ConfigError, UnknownNameError
from hauberk.core.spec import Spec, load_spec, parse_spec
from hauberk.core.threat import ThreatModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

PREFIX = "HAUBERK_"
_TABLES_ONLY = {"serve.clients"}  # a list of tables has no spelling as one line of text


@dataclass(frozen=True)
class Given:
    """A value as somebody wrote it: for which key, what, and where."""

    key: str
    text: str
    origin: str


@dataclass(frozen=True)
class Settings:
    """The spec, and for each of its keys where the value came from; ``again`` reads it anew."""

    spec: Spec
    origins: Mapping[str, str]
    again: Callable[[], Spec] = Spec

    def value(self, key: str) -> Any:
        """The value of a dotted key."""
        section, _, name = key.partition(".")
        return getattr(getattr(self.spec, section), name)


def keys() -> dict[str, Any]:
    """Every dotted key of the spec with its type."""
    found = {}
    for section in msgspec.structs.fields(Spec):
        for field in msgspec.structs.fields(section.type):
            found[f"{section.name}.{field.name}"] = field.type
    return found


def variable(key: str) -> str:
    """The environment variable of a key: ``harden.epochs`` is ``HAUBERK_HARDEN_EPOCHS``."""
    return PREFIX + key.replace(".", "_").upper()


def resolve(file: Path | None, environ: Mapping[str, str], flags: Iterable[Given] = ()) -> Settings:
    """Lay the sources over each other; a later one wins.

    Raises:
        ConfigError: naming the source of a value that is unknown, ill-formed or out of range.
    """
    known, flags = keys(), tuple(flags)
    base = load_spec(file) if file else Spec()
    tree: dict[str, dict[str, Any]] = {
        name: msgspec.structs.asdict(getattr(base, name)) for name in Spec.__struct_fields__
    }
    written = _written(file) if file else set()
    origins = {key: str(file) if key in written else "default" for key in known}
    variables = (
        Given(key, environ[variable(key)], variable(key))
        for key in known
        if variable(key) in environ and key not in _TABLES_ONLY
    )
    for given in (*variables, *flags):
        for key, value in _values(given, known):
            section, _, name = key.partition(".")
            tree[section][name] = value
            origins[key] = given.origin
    return Settings(
        parse_spec(msgspec.to_builtins(tree)),
        origins,
        lambda: resolve(file, environ, flags).spec,
    )


def _values(given: Given, known: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The keys that one given text sets; ``threat`` sets two."""
    if given.key == "threat":
        threat = ThreatModel.parse(given.text)
        return [("threat.norm", threat.norm), ("threat.eps", threat.eps)]
    if given.key not in known:
        hint = UnknownNameError(given.key, known, kind="key").hint
        raise ConfigError(f"unknown key {given.key!r}", where=given.origin, hint=hint)
    if given.key in _TABLES_ONLY:
        raise ConfigError(
            f"{given.key} is a list of tables", where=given.origin, hint="write it in hauberk.toml"
        )
    kind = known[given.key]
    raw: Any = given.text
    if get_origin(kind) is tuple:
        raw = [part.strip() for part in given.text.split(",")]
    elif NoneType in get_args(kind) and given.text == "":
        raw = None
    try:
        return [(given.key, msgspec.convert(raw, kind, strict=False))]
    except msgspec.ValidationError as error:
        text = str(error).partition(" - at `$")[0]
        choices = f": {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""
        raise ConfigError(
            text[:1].lower() + text[1:], where=given.origin, hint=f"it sets {given.key}{choices}"
        ) from None


def _written(file: Path) -> set[str]:
    """The keys that a file sets, even if to the default; the file was read once already."""
    tree = tomllib.loads(file.read_text(encoding="utf-8"))
    return {f"{name}.{key}" for name, table in tree.items() for key in table}
