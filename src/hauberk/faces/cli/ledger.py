"""``hauberk ledger``: verify it, sign what it is now, and prove that it holds an entry."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.digest import short
from hauberk.core.errors import DataError, UserError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.adapters.local.home import Home
    from hauberk.core.ports import Envelope
    from hauberk.faces.cli.output import Output


@click.group()
def command() -> None:
    """Verify the ledger, sign checkpoints of it, and prove its entries."""


@command.command()
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A checkpoint that was kept elsewhere.",
)
@options.state
@options.output("json")
def verify(*, against: tuple[Path, ...], state: Path, output: Output) -> int:
    """Check every entry, the chain, the tree, and each checkpoint given."""
    from hauberk.govern.merkle_checkpoint import check_against, read_checkpoint

    home = _home(state)
    size = home.ledger.verify()
    for path in against:
        check_against(home.ledger, read_checkpoint(_envelope(path), home.signer))
    output.data({"entries": size, "root": home.ledger.head().root, "checkpoints": len(against)})
    return 0


@command.command()
@options.state
@options.output("json")
def checkpoint(*, state: Path, output: Output) -> int:
    """Sign the ledger's size and root; keep the file where this machine cannot change it."""
    import msgspec

    from hauberk.govern.merkle_checkpoint import take_checkpoint

    home = _home(state)
    envelope = take_checkpoint(home.ledger, home.signer, at=time.time())
    output.data(msgspec.to_builtins(envelope))
    return 0


@command.command()
@click.argument("index", type=int)
@click.option("--checkpoint", "kept", type=click.Path(path_type=Path), help="[default: a new one]")
@click.option("--sealed", is_flag=True, help="Leave out what the entry says.")
@options.state
@options.output("json")
def prove(*, index: int, kept: Path | None, sealed: bool, state: Path, output: Output) -> int:
    """Prove that the ledger holds the entry INDEX; the proof stands by itself."""
    import msgspec

    from hauberk.govern import merkle_checkpoint

    home = _home(state)
    envelope = (
        _envelope(kept)
        if kept
        else merkle_checkpoint.take_checkpoint(home.ledger, home.signer, at=time.time())
    )
    entry = home.ledger.entry(index)
    if entry is None:
        raise UserError(f"no entry {index}", where="ledger")
    proof = merkle_checkpoint.prove(
        home.ledger,
        envelope,
        merkle_checkpoint.read_checkpoint(envelope, home.signer),
        index=index,
        entry=entry.digest,
    )
    told: dict[str, Any] = {} if sealed else {"body": msgspec.to_builtins(entry)}
    output.data({**msgspec.to_builtins(proof), **told})
    return 0


@command.command()
@click.argument("proof", type=click.Path(path_type=Path))
@options.state
@options.output("json")
def check(*, proof: Path, state: Path, output: Output) -> int:
    """Check a PROOF by the trusted keys alone; no ledger is read."""
    from hauberk.adapters.local.signer import Ed25519Signer
    from hauberk.govern import merkle_checkpoint

    given = merkle_checkpoint.read_json(_read(proof), merkle_checkpoint.Inclusion, where=str(proof))
    found = merkle_checkpoint.check_inclusion(given, Ed25519Signer(state / "keys"))
    output.data(
        {"entry": given.entry, "index": given.index, "ledger": short(found.origin), "at": found.at}
    )
    return 0


def _envelope(path: Path) -> Envelope:
    from hauberk.core.ports import Envelope
    from hauberk.govern.merkle_checkpoint import read_json

    envelope: Envelope = read_json(_read(path), Envelope, where=str(path))
    return envelope


def _read(path: Path) -> bytes:
    from hauberk.adapters.local.files import read_file
    from hauberk.govern.merkle_checkpoint import MAX_FILE

    data = read_file(path, limit=MAX_FILE)
    if data is None:
        raise DataError("no such file", where=str(path))
    return data


def _home(state: Path) -> Home:
    from hauberk.adapters.local.home import Home

    return Home.open(state)
