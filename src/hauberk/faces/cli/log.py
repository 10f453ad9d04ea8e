"""``hauberk log``: the sealed log of a gateway, checked, read, and its keys turned over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.cli.output import Output

_COLUMNS = ("n", "at", "tenant", "principal", "action", "code", "outcome", "policy")


@click.group()
def command() -> None:
    """Check and read the sealed log of a gateway; rotate and erase its keys."""


@command.command()
@options.state
@click.option("--head", metavar="FILE", help="A head.json that was kept elsewhere.")
@options.output("table", "json")
def verify(*, state: Path, head: str | None, output: Output) -> int:
    """Check the whole log; every flaw is named with its file, line and entry.

    Without --head a cut at the end shows only if the log's own head.json was left alone.
    """
    from pathlib import Path as File

    from hauberk.adapters.local.files import read_file
    from hauberk.adapters.local.log_home import existing_log
    from hauberk.adapters.local.sealed import read_head
    from hauberk.core.errors import UserError

    kept = None
    if head is not None:
        data = read_file(File(head), limit=4096)
        if data is None:
            raise UserError("no such file", where=head)
        kept = read_head(data, where=head)
    audit = existing_log(state).audit(head=kept)
    rows = [[flaw.fault, flaw.where, str(flaw.entry)] for flaw in audit.flaws]
    output.listing(["fault", "where", "entry"], rows)
    click.echo(f"{audit.count} entries, {audit.sealed} sealed, {len(rows)} flaws", err=True)
    return 1 if rows else 0


@command.command()
@options.state
@click.option("--after", type=int, default=0, help="Only entries after this number.")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--principal", help="Only this principal's.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@options.output("table", "json")
def show(**given: Any) -> int:
    """Show entries, opened with the keys that are here; erased ones stay closed."""
    from hauberk.adapters.local.log_home import existing_log

    rows: list[list[str]] = []
    for one in existing_log(given["state"]).read(given["after"]):
        facts = {"tenant": one.tenant, **(one.facts or {"outcome": "erased"}), "n": one.n}
        wanted = (given["tenant"] or one.tenant, given["principal"] or facts.get("principal"))
        if wanted != (one.tenant, facts.get("principal")):
            continue
        rows.append([str(facts.get(column, "-")) for column in _COLUMNS])
        if len(rows) >= given["limit"]:
            break
    given["output"].listing(list(_COLUMNS), rows)
    return 0


@command.command()
@options.state
@click.option("--tenant", help="Only this tenant's data key; without it, the master key.")
def rotate(*, state: Path, tenant: str | None) -> int:
    """Begin a new data key of a tenant, or replace the master key; nothing becomes unreadable."""
    from hauberk.adapters.local.log_home import existing_log, log_keys

    existing_log(state)
    if tenant is None:
        log_keys(state).rotate_master()
        click.echo("the master key was replaced", err=True)
    else:
        log_keys(state).rotate(tenant)
        click.echo(f"{tenant} has a new data key", err=True)
    return 0


@command.command()
@click.argument("tenant")
@options.state
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(*, tenant: str, state: Path, yes: bool) -> int:
    """Delete the keys of TENANT, and so everything that the log holds of it."""
    from hauberk.adapters.local.log_home import existing_log, log_keys

    existing_log(state)
    if not yes:
        click.confirm(f"Make all entries of {tenant} unreadable for good?", abort=True, err=True)
    log_keys(state).erase(tenant)
    click.echo(f"{tenant} erased; delete the backups of its keys too", err=True)
    return 0
