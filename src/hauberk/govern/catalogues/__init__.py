"""Catalogues as data: what ships beside the code and is read, never run."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def text(name: str) -> bytes:
    """The bytes of a file that ships in this folder, such as ``stride.toml``."""
    return files(__package__ or "hauberk.govern.catalogues").joinpath(name).read_bytes()


@cache
def table(name: str) -> dict[str, Any]:
    """The tree of a TOML file of this folder; callers must not change it."""
    return tomllib.loads(text(name).decode())
