"""``hauberk sign``: an OpenSSF signature over the files of a model."""

from __future__ import annotations

from pathlib import Path

import click

from hauberk.core.errors import UserError


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="Private key on P-256, P-384 or P-521, PEM.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="The key's certificate and those that issued it, in this order, PEM.",
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
    *, model: Path, key: Path, certificate: Path | None, ignore: tuple[str, ...], to: Path
) -> int:
    """Sign the file or folder MODEL; any OpenSSF model-signing client verifies it.

    Files of git and the signature itself are left out.
    """
    from hauberk.adapters.local import model_bundle
    from hauberk.adapters.local.files import write_file
    from hauberk.adapters.local.model_files import GIT, hash_model, inside
    from hauberk.govern.model_signing import Manifest

    chain = model_bundle.certificates(certificate) if certificate else []
    signing_key = model_bundle.private_key(key)
    own = inside(model, to)
    if own == ".":
        raise UserError("the signature would replace the model", where=str(to))
    left_out = {*GIT, *ignore, *([own] if own else [])} if model.is_dir() else set[str]()
    name = model.resolve().name or "model"
    manifest = Manifest(name, hash_model(model, ignore=left_out), tuple(sorted(left_out)))
    write_file(to, model_bundle.sign_bundle(manifest, signing_key, chain), mode=0o644)
    click.echo(f"signed {len(manifest.files)} files of {name}: {to}", err=True)
    return 0
