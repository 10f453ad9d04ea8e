"""``hauberk config``: every setting, and where it came from."""

from __future__ import annotations

import json
import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hauberk.faces.cli import options
from hauberk.faces.cli.sources import keys, variable

if TYPE_CHECKING:
    from hauberk.faces.cli.output import Output
    from hauberk.faces.cli.sources import Settings

_SECRET = {"serve.consent", "state.ledger"}
"""What may hold a credential."""
_URLS = {"quota.redis", "share.redis"}
_PASSWORD = re.compile("//[^/@]*@")


@click.command()
@click.option("--show-origin", is_flag=True, help="Say where each value came from.")
@options.settings("data", "threat", "seed")
@options.output("table", "json", "md")
def command(*, show_origin: bool, settings: Settings, output: Output) -> None:
    """Show every setting as the other verbs would see it."""
    rows = [[key, shown(key, settings.value(key)), settings.origins[key]] for key in keys()]
    head = ("key", "value", "origin")
    last = 3 if show_origin else 2
    output.listing(head[:last], [row[:last] for row in rows])
    for name in unknown(os.environ):
        output.say(f"note: {name} is set but sets no key; {_nearest(name)}")


def shown(key: str, value: Any) -> str:
    """A value as TOML has it; a secret is only said to be set."""
    if key in _SECRET:
        return "(set)" if value else '""'
    if key in _URLS:
        value = _PASSWORD.sub("//…@", value)
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False) if value is not None else "-"


def unknown(environ: os._Environ[str] | dict[str, str]) -> list[str]:
    """Variables that look like a misspelt setting: near to one, and not one."""
    known = [variable(key) for key in keys()]
    return sorted(
        name
        for name in environ
        if name.startswith("HAUBERK_")
        and name not in known
        and get_close_matches(name, known, n=1, cutoff=0.9)
    )


def _nearest(name: str) -> str:
    near = get_close_matches(name, [variable(key) for key in keys()], n=1, cutoff=0.9)
    return f"did you mean {near[0]}?"
