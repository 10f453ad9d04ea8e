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


_mlflow = click.option(
    "--mlflow",
    "url",
    required=True,
    envvar="MLFLOW_TRACKING_URI",
    metavar="URL",
    help="The MLflow server. [env: MLFLOW_TRACKING_URI]",
)
_insecure = click.option("--insecure", is_flag=True, help="Allow http beyond this machine.")


@command.command()
@click.argument("uri")
@_mlflow
@_insecure
@click.option("--to", "file", type=click.Path(path_type=Path), required=True, metavar="FILE")
@options.output("json")
def fetch(*, uri: str, url: str, insecure: bool, file: Path, output: Output) -> int:
    """Fetch models:/NAME@ALIAS from MLflow, ONNX or safetensors alone; nothing is unpickled."""
    from hauberk.adapters.local.files import create_file
    from hauberk.adapters.mlflow.registry import MlflowRegistry

    found = MlflowRegistry(url, insecure=insecure).fetch(uri)
    if not create_file(file, found.data):
        raise UserError("there is a file already", where=str(file))
    output.data({"file": str(file), "version": found.version, "digest": found.digest})
    output.say("it is not trusted yet: `hauberk vet` it, then `hauberk models register` it")
    return 0


@command.command()
@_mlflow
@_insecure
@click.option("--name", required=True, help="The registered model's name.")
@options.state
@options.output("json")
def mirror(*, url: str, insecure: bool, name: str, state: Path, output: Output) -> int:
    """Bring MLflow in line with the ledger: champion serves, challenger is tried, with evidence."""
    from hauberk.adapters.mlflow.mirror import mirror as bring
    from hauberk.adapters.mlflow.registry import MlflowRegistry

    home, registry = _home(state), MlflowRegistry(url, insecure=insecure)
    output.data(bring(registry, name, ledger=home.ledger, store=home.store, trust=home.trust))
    return 0


def _home(state: Path) -> Home:
    from hauberk.adapters.local.home import Home

    return Home.open(state)
