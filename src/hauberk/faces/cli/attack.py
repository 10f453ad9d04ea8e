"""``hauberk attack``: what an insider with the model's file does to a model or to an endpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output

_TOKEN = "HAUBERK_TOKEN"  # noqa: S105 - the variable's name


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--endpoint", metavar="URL", help="Send the inputs there, as ordinary requests.")
@click.option("--attack", "method", default="fgsm", show_default=True, help="Name of the attack.")
@click.option("--requests", type=click.IntRange(1, 10**6), default=200, show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of the requests that are adversarial.",
)
@click.option("--rate", type=click.FloatRange(0, 10**5), default=0.0, help="Requests a second.")
@click.option(
    "--stealthy",
    is_flag=True,
    help="Stop at the first point that flips the label; otherwise press on to the highest loss.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append each answer to this file as it comes, as JSON lines.",
)
@click.option(
    "--trusted",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with trusted/*.pub: whose consent counts. [default: keys of --state]",
)
@options.spec("data", "threat", "seed", "model.name")
@options.state
@options.output("table", "json")
def command(
    *,
    model: Path,
    endpoint: str | None,
    method: str,
    trusted: Path | None,
    spec: Spec,
    state: Path,
    output: Output,
    **how: Any,
) -> int:
    """Craft adversarial inputs from the file MODEL, and measure it or an ENDPOINT with them.

    An endpoint is attacked only if it publishes a consent that its owner signed: see
    `hauberk consent`. The client's token is read from HAUBERK_TOKEN.
    """
    from hauberk.faces.cli import red_team

    if not endpoint:
        return red_team.offline(
            red_team.craft(model, method, spec, stealthy=how["stealthy"]), output
        )
    volley = red_team.Volley(
        url=endpoint,
        token=os.environ.get(_TOKEN, ""),
        keys=trusted or state / "keys",
        **how,
    )
    return red_team.online(model, method, spec, volley, output)
