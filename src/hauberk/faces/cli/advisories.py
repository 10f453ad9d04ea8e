"""``hauberk advisories``: an index of known holes in packages, kept here and asked offline."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.adapters.local.advisories import Advisories
    from hauberk.faces.cli.output import Output


@click.group()
def command() -> None:
    """Keep an index of advisories about packages, for `hauberk vet`."""


@command.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.state
@options.output("json")
def take_in(*, paths: tuple[Path, ...], state: Path, output: Output) -> int:
    """Take in OSV records and pages of a package index (PEP 691), as files, folders or a ZIP.

    A package without a page is unknown, and what asks for it is for review.
    """
    index = _index(state)
    advisories, packages = index.load(paths, at=time.time())
    output.data({"advisories": advisories, "packages": packages, "as of": _day(index.as_of)})
    return 0


@command.command()
@options.state
@options.output("table", "json", "md")
def status(*, state: Path, output: Output) -> int:
    """Say how much the index holds and how old it is. Exit 1 if there is none."""
    if not (state / "advisories.db").is_file():
        output.listing(["advisories", "packages", "as of", "days old"], [])
        return 1
    index = _index(state)
    advisories, packages = index.counts()
    days = f"{(time.time() - index.as_of) / 86_400:.1f}"
    row = [str(advisories), str(packages), _day(index.as_of), days]
    output.listing(["advisories", "packages", "as of", "days old"], [row])
    return 0


def _index(state: Path) -> Advisories:
    from hauberk.adapters.local.advisories import Advisories

    return Advisories(state / "advisories.db")


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))
