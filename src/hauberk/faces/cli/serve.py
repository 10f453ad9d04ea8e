"""``hauberk serve``: the gateway."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hauberk.faces.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.faces.cli.sources import Settings

F = TypeVar("F", bound=Callable[..., Any])


def _ignored(*names: str) -> Callable[[F], F]:
    """Flags that KServe appends to the arguments of every container that it runs."""

    def decorate(function: F) -> F:
        for name in names:
            function = click.option(name, hidden=True, expose_value=False)(function)
        return function

    return decorate


@click.command()
@click.option(
    "--replica",
    default="",
    envvar="HAUBERK_REPLICA",
    metavar="NAME",
    help="This is one of several gateways of the service, which follow one routing.",
)
@click.option(
    "--digest",
    default="",
    envvar="HAUBERK_DIGEST",
    help="The model that this replica's revision was made for.",
)
@click.option("--worker", default="", envvar="HAUBERK_WORKER", hidden=True)
@_ignored("--model_name", "--predictor_host", "--http_port", "--workers")
@options.settings("model.name", "serve.host", "serve.port", "serve.consent")
@options.state
def command(*, replica: str, digest: str, worker: str, settings: Settings, state: Path) -> int:
    """Serve the signed model of a state directory behind the guards.

    Clients are listed in hauberk.toml by the SHA-256 of their token; the operator's token is in
    the state directory. SIGTERM drains. Clients, quotas, filters and thresholds may change in the
    file while it runs. With `serve.workers` several processes share the port.
    """
    if settings.spec.serve.workers > 1 and not worker:
        from hauberk.faces.gateway.processes import supervise

        return supervise(settings.spec, state=state, command=[sys.executable, *sys.orig_argv[1:]])
    from hauberk.faces.gateway.server import serve

    serve(
        settings.spec,
        state=state,
        replica=replica,
        digest=digest,
        worker=worker,
        read=settings.again,
    )
    return 0
