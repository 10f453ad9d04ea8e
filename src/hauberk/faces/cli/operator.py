"""``hauberk operator``: the controller of a cluster's services."""

from __future__ import annotations

from pathlib import Path

import click

from hauberk.core.errors import ConfigError


@click.group()
def command() -> None:
    """Protect the services of a Kubernetes namespace; print what that needs."""


@command.command()
@click.option(
    "--namespace", "-n", required=True, envvar="HAUBERK_NAMESPACE", help="The namespace to watch."
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    envvar="HAUBERK_STATE",
    help="Folder with a state directory for each ModelShield.",
)
@click.option(
    "--image",
    required=True,
    envvar="HAUBERK_IMAGE",
    help="Image of gateways and jobs, by digest.",
)
@click.option(
    "--logger", default="", envvar="HAUBERK_LOGGER", help="Where KServe's payload logger posts."
)
@click.option(
    "--lease-seconds",
    type=click.IntRange(2, 300),
    default=15,
    show_default=True,
    envvar="HAUBERK_LEASE_SECONDS",
    help="How long a silent leader keeps the lead.",
)
@click.option(
    "--metrics-host", default="127.0.0.1", show_default=True, envvar="HAUBERK_METRICS_HOST"
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    envvar="HAUBERK_METRICS_PORT",
    help="Port for Prometheus; 0 opens none.",
)
def run(
    *,
    namespace: str,
    state: Path,
    image: str,
    logger: str,
    lease_seconds: int,
    metrics_host: str,
    metrics_port: int,
) -> int:
    """Drive every ModelShield until SIGTERM; killed at any time, the next one goes on."""
    try:
        from hauberk.faces.operator.run import Orders
        from hauberk.faces.operator.run import run as lead
    except ImportError as error:
        raise ConfigError(
            f"the operator needs {error.name}", hint="pip install 'hauberk[operator]'"
        ) from None
    orders = Orders(
        namespace=namespace,
        state=state,
        image=image,
        logger=logger,
        lease=lease_seconds,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
    )
    lead(orders)
    return 0


@command.command()
def crd() -> int:
    """Print the definition of ModelShield, as `kubectl apply -f -` takes it."""
    import yaml

    from hauberk.faces.cli.glossary import TEXTS
    from hauberk.faces.operator.crd import definition

    click.echo(yaml.safe_dump(definition(TEXTS), sort_keys=False, width=100), nl=False)
    return 0
