"""``hauberk models``: what the ledger knows, and letting a first model in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hauberk.core.errors import Untrusted, UserError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.adapters.local.home import Home
    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output


@click.group()
def command() -> None:
    """List the models that the ledger knows, or register one; `hauberk revoke` takes one back."""


@command.command("list")
@options.state
@options.output("table", "json", "md")
def listing(*, state: Path, output: Output) -> int:
    """List the models with who may serve them and why not."""
    home = _home(state)
    rows = []
    for entry in home.ledger.entries(kind="model"):
        try:
            home.trust.verified(entry.subject)
            standing = "may be served"
        except Untrusted as error:
            standing = error.what
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.at))
        rows.append([entry.subject, entry.body["name"], entry.body["role"], when, standing])
    output.listing(["digest", "name", "role", "registered", "standing"], rows)
    return 0


@command.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--by", required=True, help="Who answers for letting this model in.")
@options.spec("data", "threat", "model.name")
@options.state
@options.output("json")
def register(*, model: Path, by: str, spec: Spec, state: Path, output: Output) -> int:
    """Let the weights in MODEL be served: export, check, sign, make its twin, and route to it.

    The model is a safetensors file that declares its architecture. Its robust twin is trained
    here and kept private; the two are calibrated on clean data.
    """
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.setup import set_up
    from hauberk.adapters.models.load import load
    from hauberk.adapters.models.torch_model import TorchModel

    found = load(model)
    if not isinstance(found, TorchModel) or found.architecture is None:
        raise UserError(
            "a guarded model needs its weights, to be hardened one day",
            where=str(model),
            hint="register the safetensors file; the ONNX file is made from it",
        )
    home = Home.create(state, spec.state)
    with output.progress("training the twin") as advance:
        routing = set_up(home, spec, found, by=by, progress=advance)
    output.data({"primary": routing.primary, "twin": routing.twin, "name": spec.model.name})
    return 0


def _home(state: Path) -> Home:
    from hauberk.adapters.local.home import Home

    return Home.open(state)
