"""``hauberk keys``: the keys that sign models, and tokens for clients."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import click

from hauberk.core.digest import digest_bytes
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.cli.output import Output


@click.group()
def command() -> None:
    """Make and list the keys that sign models, and make tokens for clients."""


@command.command("list")
@options.state
@options.output("table", "json", "md")
def listing(*, state: Path, output: Output) -> int:
    """List the keys whose signatures count."""
    from hauberk.adapters.local.signer import Ed25519Signer

    output.listing(["key"], [[key] for key in sorted(Ed25519Signer(state / "keys").trusted())])
    return 0


@command.command()
@options.state
@options.output("json")
def create(*, state: Path, output: Output) -> int:
    """Make a signing key and trust it, where there is none yet."""
    from hauberk.adapters.local.home import Home

    output.data({"key": Home.create(state).signer.key_id})
    return 0


@command.command()
@click.argument("client")
@click.option("--role", type=click.Choice(["client", "operator"]), default="client")
def token(*, client: str, role: str) -> int:
    """Make a token for CLIENT: it goes to the client, its digest into hauberk.toml."""
    text = secrets.token_urlsafe(32)
    click.echo(f"token for {client}, shown once: {text}", err=True)
    click.echo("[[serve.clients]]")
    click.echo(f'name = {json.dumps(client)}\ntoken_sha256 = "{digest_bytes(text.encode())}"')
    click.echo(f'role = "{role}"')
    return 0
