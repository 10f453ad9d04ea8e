"""``hauberk bom``: the bill of materials of a model, signed; or whether one is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hauberk import __version__
from hauberk.core.errors import DataError, Untrusted, UserError
from hauberk.faces.cli import options
from hauberk.govern.formats import as_json

if TYPE_CHECKING:
    from hauberk.adapters.local.home import Home

_MAX = 64 << 20


@click.command()
@click.argument("digest", required=False)
@click.option("--check", "bill", type=click.Path(path_type=Path), help="Check this bill instead.")
@click.option("--supplier", default="", help="Who supplies the model.")
@click.option("--license", "license_id", default="", help="The model's licence, an SPDX id.")
@click.option("--use", default="", help="What the model is meant for.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["cyclonedx", "spdx"]),
    default="cyclonedx",
    show_default=True,
    help="Form of the bill.",
)
@click.option(
    "--output",
    "-o",
    "to",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="HAUBERK_OUTPUT",
    metavar="FILE",
    help="Write the bill to a file, and its signature beside it as FILE.dsse.json.",
)
@options.state
def command(
    *,
    digest: str | None,
    bill: Path | None,
    supplier: str,
    license_id: str,
    use: str,
    form: Literal["cyclonedx", "spdx"],
    to: Path | None,
    state: Path,
) -> int:
    """Write the bill of materials of the model DIGEST from the ledger.

    Exit code 1 where a required field is missing: what was never measured is not made up.
    """
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.packages import installed
    from hauberk.govern.bom import bom
    from hauberk.govern.bom_facts import Declared, gather
    from hauberk.govern.spdx import spdx

    home = Home.open(state)
    if (bill is None) == (digest is None):
        raise UserError("give the DIGEST of a model, or --check FILE")
    if bill is not None:
        return _told(_checked(home, bill))
    home.ledger.verify()
    facts = gather(
        home.ledger,
        digest or "",
        packages=installed(),
        declared=Declared(supplier=supplier, license=license_id, use=use),
    )
    made = bom(facts, version=__version__)
    document = made if form == "cyclonedx" else spdx(facts, version=__version__)
    _write(home, document, facts.digest, to)
    return _told(made)


def _write(home: Home, document: dict[str, Any], digest: str, to: Path | None) -> None:
    from hauberk.adapters.local.files import write_file

    text = as_json(document)
    if to is None:
        click.echo(text, nl=False)
        return
    envelope = home.signer.sign(statement(text.encode(), to.name, digest))
    write_file(to, text.encode(), mode=0o644)
    write_file(_beside(to), as_json(_plain(envelope)).encode(), mode=0o644)
    click.echo(f"wrote {to} and {_beside(to).name}", err=True)


def _checked(home: Home, path: Path) -> Any:
    """The bill in a file, once its signature is verified.

    Raises:
        Untrusted: if no trusted key signed it, or it was altered.
        DataError: if it cannot be read.
    """
    from hauberk.adapters.local.files import read_file
    from hauberk.core.digest import digest_bytes
    from hauberk.core.ports import Envelope
    from hauberk.govern.merkle_checkpoint import read_json

    data, signature = (read_file(one, limit=_MAX) for one in (path, _beside(path)))
    if data is None or signature is None:
        lacking = path if data is None else _beside(path)
        raise DataError("no such file", where=str(lacking))
    signed = home.signer.verify(read_json(signature, Envelope, where=str(_beside(path))))
    subjects = signed.get("subject")
    wanted = {"sha256": digest_bytes(data).removeprefix("sha256:")}
    if not isinstance(subjects, list) or not any(
        isinstance(one, dict) and one.get("digest") == wanted for one in subjects
    ):
        raise Untrusted("HB-S001: the bill is not the one that was signed", where=str(path))
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError("not a JSON object", where=str(path))
    return found


def statement(text: bytes, name: str, model: str) -> dict[str, Any]:
    """The statement that is signed about a bill: its own digest, and the model's."""
    from hauberk.core.digest import digest_bytes
    from hauberk.govern.attest import STATEMENT

    subjects = ((name, digest_bytes(text)), ("model.onnx", model))
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": one, "digest": {"sha256": digest.removeprefix("sha256:")}}
            for one, digest in subjects
        ],
        "predicateType": "https://hauberk.dev/attest/bom/v1",
        "predicate": {},
    }


def _told(bill: dict[str, Any]) -> int:
    from hauberk.govern.bom_check import missing, score, tips

    lacking = missing(bill)
    for path in lacking:
        click.echo(f"missing: {path}", err=True)
    parts = [f"{name} {had}/{of}" for name, (had, of) in score(bill).items()]
    click.echo(f"score: {', '.join(parts)}", err=True)
    for tip in tips(bill):
        click.echo(f"tip: {tip}", err=True)
    return 1 if lacking else 0


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.dsse.json")


def _plain(envelope: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(envelope)
