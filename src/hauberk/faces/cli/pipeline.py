"""``hauberk pipeline``: the loop's work as a Kubeflow pipeline, compiled or run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.errors import ConfigError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.spec import Spec
    from hauberk.faces.cli.output import Output
    from hauberk.faces.pipelines.pipeline import Build


@click.group()
def command() -> None:
    """Compile the loop's work to a Kubeflow pipeline, or run it here or there."""


def _built(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--memory", default="", metavar="QUANTITY", help="Memory of the heavy steps."),
        click.option("--cpu", default="", metavar="QUANTITY", help="Cores of the heavy steps."),
        click.option(
            "--claim", default="", metavar="NAME", help="Claim that holds the state directory."
        ),
        click.option(
            "--image", default="", metavar="IMAGE", help="Image with hauberk[kubeflow] in it."
        ),
    ):
        function = option(function)
    return function


@command.command("compile")
@_built
@click.option(
    "--resources", is_flag=True, help="Write the resources Pipeline and PipelineVersion, not IR."
)
@click.option("--namespace", default=None, metavar="NAME", help="Namespace of the resources.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    default="hauberk-pipeline.yaml",
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
def compile_(*, resources: bool, namespace: str | None, to: Path, **build: str) -> int:
    """Write the pipeline as IR YAML, for any Kubeflow Pipelines server."""
    from hauberk.faces.pipelines.pipeline import compile_to

    form: Any = "resources" if resources else "ir"
    compile_to(to, _build(build), form=form, namespace=namespace)
    click.echo(f"wrote {to}", err=True)
    return 0


@command.command()
@click.option("--incident", required=True, metavar="ID", help="One run per incident.")
@click.option(
    "--number",
    type=int,
    default=1,
    show_default=True,
    help="The how-manieth incident of the service it is; seeds the training as the loop does.",
)
@click.option("--local", "here", is_flag=True, help="Run it on this machine.")
@click.option("--endpoint", default="", metavar="URL", help="Submit it to a Kubeflow server.")
@click.option("--token", default=None, envvar="HAUBERK_PIPELINE_TOKEN", help="For the server.")
@click.option("--namespace", default=None, metavar="NAME", help="Namespace of the run.")
@_built
@options.spec("data", "threat", "seed", "harden.epochs")
@options.state
@options.output("table", "json")
def run(
    *,
    incident: str,
    number: int,
    here: bool,
    endpoint: str,
    spec: Spec,
    state: Path,
    output: Output,
    **rest: Any,
) -> int:
    """Harden the served model, judge it, and let it answer a share. Exit code 1 if it is denied.

    The same incident again starts no second run: it goes on where the first was, or tells what
    came of it.
    """
    from hauberk.faces.pipelines.order import Order

    if here == bool(endpoint):
        raise ConfigError("say where to run it", where="pipeline run", hint="--local or --endpoint")
    order = Order.of(spec, incident=incident, number=number, state=state)
    token, namespace = rest.pop("token"), rest.pop("namespace")
    if endpoint:
        from hauberk.faces.pipelines.submit import submit

        build = _build(rest)
        facts = submit(order, build, endpoint=endpoint, token=token, namespace=namespace)
    else:
        from hauberk.faces.pipelines.local import run as run_here

        with output.progress("hardening, judging, signing"):
            facts = run_here(order)
    facts = {"incident": incident, **facts}
    if output.form == "json":
        output.data(facts)
    else:
        output.listing(["key", "value"], [[key, str(value)] for key, value in facts.items()])
    if facts.get("denied"):
        output.say(f"denied: {facts['denied']}")
    return 1 if facts.get("denied") else 0


def _build(given: dict[str, str]) -> Build:
    from hauberk.faces.pipelines.pipeline import Build

    return Build(**{name: value for name, value in given.items() if value})  # type: ignore[arg-type]
