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
@click.option("--tenant", default="default", show_default=True)
@click.option(
    "--scope",
    multiple=True,
    type=click.Choice(["read", "infer", "load", "control"]),
    help="Only this action; may be given several times.",
)
@click.option("--expires", metavar="DAY", help="The day in UTC on which it ends.")
def token(
    *, client: str, role: str, tenant: str, scope: tuple[str, ...], expires: str | None
) -> int:
    """Make a token for CLIENT: it goes to the client, its digest into hauberk.toml."""
    from hauberk.access.keys import ApiKeys
    from hauberk.core.spec import ClientSpec

    text = secrets.token_urlsafe(32)
    made = ClientSpec(
        name=client,
        token_sha256=digest_bytes(text.encode()),
        role="operator" if role == "operator" else "client",
        tenant=tenant,
        scopes=scope,
        expires=expires or "",
    )
    ApiKeys([made])  # what the gateway would refuse is refused here
    click.echo(f"token for {client}, shown once: {text}", err=True)
    click.echo("[[serve.clients]]")
    click.echo(f'name = {json.dumps(client)}\ntoken_sha256 = "{made.token_sha256}"')
    click.echo(f'role = "{role}"')
    if tenant != "default":
        click.echo(f"tenant = {json.dumps(tenant)}")
    if scope:
        click.echo(f"scopes = {json.dumps(list(scope))}")
    if expires:
        click.echo(f"expires = {json.dumps(expires)}")
    return 0


@command.command()
@click.argument("digest")
@options.state
def revoke(*, digest: str, state: Path) -> int:
    """End a client's key by its DIGEST, the token_sha256 of hauberk.toml, within seconds.

    A running gateway notices; nothing is restarted. The list is revoked-keys in the state
    directory.
    """
    from hauberk.adapters.local.files import read_file, write_file
    from hauberk.core.digest import check_digest

    check_digest(digest)
    path = state / "revoked-keys"
    known = (read_file(path, limit=1 << 20) or b"").decode("ascii", "replace").split()
    if digest not in known:
        write_file(path, "".join(f"{one}\n" for one in [*known, digest]).encode())
    click.echo(f"{digest} is revoked", err=True)
    return 0
