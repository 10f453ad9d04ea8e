"""``hauberk sign``: an OpenSSF signature over the files of a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from hauberk.govern.model_signing import Manifest


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="Private key on P-256, P-384 or P-521, PEM.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="The key's certificate and those that issued it, in this order, PEM.",
)
@click.option(
    "--keyless",
    is_flag=True,
    help="Sign as whom the OpenID token in SIGSTORE_ID_TOKEN names, through Sigstore.",
)
@click.option("--ignore", multiple=True, metavar="NAME", help="A file or folder to leave out.")
@click.option(
    "--output",
    "-o",
    "to",
    type=click.Path(dir_okay=False, path_type=Path),
    default="model.sig",
    envvar="HAUBERK_OUTPUT",
    show_default=True,
    metavar="FILE",
    help="The signature: a Sigstore bundle.",
)
def command(
    *,
    model: Path,
    key: Path | None,
    certificate: Path | None,
    keyless: bool,
    ignore: tuple[str, ...],
    to: Path,
) -> int:
    """Sign the file or folder MODEL; any OpenSSF model-signing client verifies it.

    Files of git and the signature itself are left out.
    """
    from hauberk.adapters.local.files import write_file
    from hauberk.adapters.local.model_files import GIT, hash_model, inside
    from hauberk.govern.model_signing import Manifest

    if (key is None) != keyless:
        raise UserError("give a --key, or --keyless, and not both")
    own = inside(model, to)
    if own == ".":
        raise UserError("the signature would replace the model", where=str(to))
    left_out = {*GIT, *ignore, *([own] if own else [])} if model.is_dir() else set[str]()
    name = model.resolve().name or "model"
    manifest = Manifest(name, hash_model(model, ignore=left_out), tuple(sorted(left_out)))
    write_file(to, _bundle(manifest, key, certificate), mode=0o644)
    click.echo(f"signed {len(manifest.files)} files of {name}: {to}", err=True)
    return 0


def _bundle(manifest: Manifest, key: Path | None, certificate: Path | None) -> bytes:
    """The signed bundle; the token of a keyless signer comes by the environment, not the flags."""
    from hauberk.adapters.local import model_bundle

    if key is not None:
        chain = model_bundle.certificates(certificate) if certificate else []
        return model_bundle.sign_bundle(manifest, model_bundle.private_key(key), chain)
    from hauberk.adapters.sigstore_bundle import sign_keyless

    token = os.environ.get("SIGSTORE_ID_TOKEN", "")
    if not token:
        raise UserError("SIGSTORE_ID_TOKEN is not set", hint="your CI or issuer gives it")
    return sign_keyless(manifest, token)
