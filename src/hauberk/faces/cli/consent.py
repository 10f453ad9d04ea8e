"""``hauberk consent``: the owner agrees that an endpoint may be attacked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output

_HOUR = 3600.0


@click.command()
@click.option("--host", "endpoint", default="127.0.0.1", show_default=True, help="Of the endpoint.")
@click.option(
    "--hours",
    type=click.FloatRange(0, 24 * 366, min_open=True),
    default=24.0,
    show_default=True,
    help="How long the consent holds.",
)
@options.spec("model.name")
@options.state
@options.output("table", "json")
def command(*, endpoint: str, hours: float, spec: Spec, state: Path, output: Output) -> int:
    """Sign a consent for red-teaming the model's endpoint; put it into serve.consent."""
    from hauberk.adapters.local.signer import Ed25519Signer
    from hauberk.govern.consent import make_consent

    until = time.time() + hours * _HOUR
    text = make_consent(
        Ed25519Signer(state / "keys"), model=spec.model.name, host=endpoint, not_after=until
    )
    if output.form == "json":
        output.data({"consent": text, "not_after": until})
    else:
        output.write(text + "\n")
    return 0
