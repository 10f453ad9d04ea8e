"""``hauberk state``: where ledger and blobs are kept, and the tables of a shared ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hauberk.core.errors import ConfigError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output


@click.group()
def command() -> None:
    """Say where ledger and blobs are kept, and make the tables of a shared ledger."""


@command.command()
@options.state
@options.output("table", "json")
def show(*, state: Path, output: Output) -> int:
    """Say where this directory keeps what, and whether it answers; no credential is shown."""
    from hauberk.adapters.local.home import Home

    home = Home.open(state)
    facts = {
        "ledger": home.ledger.place,
        "entries": home.ledger.head().size,
        "blobs": home.store.place,
    }
    if output.form == "json":
        output.data(facts)
    else:
        output.listing(["key", "value"], [[key, str(value)] for key, value in facts.items()])
    return 0


@command.command()
@click.option("--sql", is_flag=True, help="Print the statements, and run none.")
@options.spec()
@options.state
@options.output("json")
def upgrade(*, sql: bool, spec: Spec, state: Path, output: Output) -> int:
    """Make the tables of [state] ledger, or bring them up to date, by Alembic.

    It needs a role that may create tables; what runs later needs to select and insert only, and
    to update the table of snapshots.
    """
    from hauberk.adapters.local.places import read_places
    from hauberk.adapters.postgres import upgrade as migrations

    if sql:
        click.echo(migrations.statements(), nl=False)
        return 0
    url = spec.state.ledger or read_places(state).ledger
    if not url:
        raise ConfigError(
            "no shared ledger is named",
            where="state.ledger",
            hint="a ledger in the state directory makes its own tables",
        )
    output.data({"revision": migrations.upgrade(url)})
    return 0
