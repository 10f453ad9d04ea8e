"""``hauberk verify``: a model back to its data by digest, or its files by a signature."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.digest import short
from hauberk.core.errors import UserError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.faces.cli.output import Output
    from hauberk.govern.model_signing import Manifest


@click.command()
@click.argument("target")
@click.option("--signature", type=click.Path(path_type=Path), help="The signature of a model file.")
@click.option("--key", type=click.Path(path_type=Path), help="The signer's public key, PEM.")
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Certificates that are trusted to name signers, PEM.",
)
@click.option("--identity", help="Who signed without a key, as the certificate names them.")
@click.option("--issuer", help="Who vouches for that identity: the issuer's URL.")
@click.option("--trust-root", type=click.Path(path_type=Path), help="Sigstore's, if not its own.")
@click.option("--ignore", multiple=True, metavar="NAME", help="A file or folder to leave out.")
@options.state
@options.output("table", "json", "md")
def command(
    *,
    target: str,
    signature: Path | None,
    state: Path,
    output: Output,
    **signer: Any,
) -> int:
    """Verify TARGET: the digest of a model or dataset, or a path with its --signature.

    A digest is followed through the ledger to its data; every link that does not hold is named.
    """
    if signature is not None:
        return _files(Path(target), signature, signer, output)
    if not target.startswith("sha256:"):
        raise UserError(
            "not a digest", where=target, hint="give the digest of a model, or --signature FILE"
        )
    from hauberk.adapters.local.home import Home
    from hauberk.govern.provenance_walk import Walk

    home = Home.open(state)
    links = Walk(home.store, home.ledger, home.signer)(target)
    rows = [[one.step, short(one.digest), one.state, one.why] for one in links]
    output.listing(["link", "of", "state", "why"], rows)
    broken = [one for one in links if one.state == "BROKEN"]
    for one in broken[:1]:
        output.say(f"broken at {one.step} of {short(one.digest)}: {one.why}")
    return 1 if broken else 0


def _files(model: Path, signature: Path, signer: dict[str, Any], output: Output) -> int:
    from hauberk.adapters.local.model_files import hash_model, inside

    manifest = _manifest(signature, signer)
    own, ignore = inside(model, signature), signer["ignore"]
    # What the signer left out is signed as left out; of those, paths elsewhere mean nothing here.
    left_out = {*ignore, *manifest.ignored, *([own] if own and own != "." else [])}
    found = hash_model(model, ignore=[one for one in left_out if not one.startswith("/")])
    faults = manifest.differences(found)
    output.listing(["file", "fault"], [[one.name, one.fault] for one in faults])
    output.say(f"{len(manifest.files)} files signed, {len(faults)} differ")
    return 1 if faults else 0


def _manifest(signature: Path, signer: dict[str, Any]) -> Manifest:
    """What was signed, if it was by the key, below the roots, or by the identity that is named."""
    from hauberk.adapters.local import model_bundle

    key, roots, identity = signer["key"], signer["roots"], signer["identity"]
    if sum(map(bool, (key, roots, identity))) != 1:
        raise UserError("give the signer's --key, a --root, or an --identity, and one of them only")
    data = model_bundle.read_bundle(signature)
    if identity:
        from hauberk.adapters.sigstore_bundle import verify_keyless

        if not signer["issuer"]:
            raise UserError("an --identity holds only with its --issuer")
        return verify_keyless(
            data, identity=identity, issuer=signer["issuer"], trust_root=signer["trust_root"]
        )
    return model_bundle.verify_bundle(
        data,
        key=model_bundle.public_key(key) if key else None,
        roots=[one for path in roots for one in model_bundle.certificates(path)],
        at=datetime.now(UTC),
    )
