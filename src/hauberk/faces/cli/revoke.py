"""``hauberk revoke``: take back a model or a dataset, and all that was made from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from hauberk.core.digest import check_digest
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.cli.output import Output


@click.command()
@click.argument("digest")
@click.option("--reason", help="Why; it goes into the ledger. Without it, nothing is revoked.")
@click.option("--only", is_flag=True, help="The model itself, not what was made from it.")
@options.state
@options.output("table", "json", "md")
def command(*, digest: str, reason: str | None, only: bool, state: Path, output: Output) -> int:
    """Revoke DIGEST, a model or a dataset, for good; list all that is blocked by it.

    The gateway refuses DIGEST and its descendants from then on, those entered later too. Without
    a --reason this only lists what would be blocked.
    """
    from hauberk.adapters.local.home import Home
    from hauberk.govern.provenance_family import Relative, descendants

    home = Home.open(state)
    below = [] if only else descendants(home.ledger, check_digest(digest))
    known = [
        Relative(kind, digest, str(entry.body.get("name", "")), "")
        for kind in ("model", "dataset")
        for entry in home.ledger.entries(kind=kind, subject=digest)
    ][:1]
    if reason:
        home.trust.revoke(digest, reason, time.time(), descendants=not only)
    standing = "revoked" if reason else "would be revoked"
    blocked = "blocked" if reason else "would be blocked"
    rows = [[digest, one.kind, one.name, standing] for one in known] or [
        [digest, "unknown", "", standing]
    ]
    rows += [[one.digest, one.kind, one.name, blocked] for one in below]
    output.listing(["digest", "kind", "name", "standing"], rows)
    return 0
