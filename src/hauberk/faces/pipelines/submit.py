"""The pipeline on a Kubeflow server: one run per incident, whoever asks and how often."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import EnvironmentFault
from hauberk.faces.pipelines.pipeline import STATE, Build, compile_to, kfp_part

if TYPE_CHECKING:
    from hauberk.faces.pipelines.order import Order

EXPERIMENT = "hauberk"
_OVER = {"FAILED", "CANCELED"}


def submit(
    order: Order, build: Build, *, endpoint: str, token: str | None, namespace: str | None
) -> dict[str, Any]:
    """Start the run of an incident on a server, or find the one that was started.

    A run that failed or was cancelled is followed by another, which goes on from the journal.

    Raises:
        ConfigError: if kfp is not installed.
        EnvironmentFault: if the server does not answer, or refuses.
    """
    order.check()
    kfp = kfp_part("client")
    name = f"hauberk-{order.incident}"
    try:
        client = kfp.Client(host=endpoint, existing_token=token, namespace=namespace or "kubeflow")
        experiment = client.create_experiment(EXPERIMENT, namespace=namespace)
        found = _run_of(client, name, experiment.experiment_id, namespace)
        if found is not None:
            return {"run": found.run_id, "incident": order.incident, "started": False}
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "pipeline.yaml"
            compile_to(package, build, form="ir")
            started = client.create_run_from_pipeline_package(
                str(package),
                arguments={
                    "incident": order.incident,
                    "number": order.number,
                    "config": order.config,
                    "state": STATE if build.claim else order.state,
                },
                run_name=name,
                experiment_id=experiment.experiment_id,
                namespace=namespace,
                enable_caching=False,
            )
    except _faults() as error:
        raise EnvironmentFault(
            f"the server refused: {_line(error)}",
            where=endpoint,
            hint="is it a Kubeflow Pipelines API, and is the token in HAUBERK_PIPELINE_TOKEN?",
        ) from None
    return {"run": started.run_id, "incident": order.incident, "started": True}


def _run_of(client: Any, name: str, experiment: str, namespace: str | None) -> Any:
    """The newest run of that name that did not fail."""
    wanted = {"key": "display_name", "operation": "EQUALS", "string_value": name}
    listed = client.list_runs(
        experiment_id=experiment,
        namespace=namespace,
        sort_by="created_at desc",
        filter=json.dumps({"predicates": [wanted]}),
    )
    runs = [one for one in listed.runs or [] if one.display_name == name]
    return next((one for one in runs if str(one.state) not in _OVER), None)


def _faults() -> tuple[type[Exception], ...]:
    from kfp_server_api import ApiException  # noqa: PLC0415 - of an extra
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    return (ApiException, HTTPError, OSError, RuntimeError, ValueError)


def _line(error: Exception) -> str:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    return str(reason).splitlines()[0][:200]
