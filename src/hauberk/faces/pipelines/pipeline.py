"""The pipeline itself, and its compilation to what Kubeflow reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "hauberk-hardening"
STATE = "/var/lib/hauberk"
"""Where a claim with the state directory is mounted."""
IMAGE = "hauberk-python:latest"


@dataclass(frozen=True, kw_only=True)
class Build:
    """How the pipeline is built: ``image`` holds hauberk with its ``kubeflow`` extra.

    ``claim`` is a PersistentVolumeClaim with the state directory; ``cpu`` and ``memory`` are what
    training and evaluation ask for, as Kubernetes writes quantities. A task is tried ``retries``
    more times: what it had done is in the journal, and a training goes on from its checkpoint.
    """

    image: str = IMAGE
    claim: str = ""
    cpu: str = ""
    memory: str = ""
    retries: int = 2

    def __call__(self) -> Any:
        """The pipeline, for kfp.

        Raises:
            ConfigError: if kfp is not installed.
        """
        dsl = kfp_part("dsl")
        from hauberk.faces.pipelines.components import COMPONENTS  # noqa: PLC0415 - needs kfp

        made = {
            name: dsl.component(one, base_image=self.image, install_kfp_package=False)
            for name, one in COMPONENTS.items()
        }

        def hardening(incident: str, number: int, config: str, state: str = STATE) -> None:
            """Harden the model that is under attack, judge it, and let it answer a share."""
            order = {"incident": incident, "number": number, "config": config, "state": state}
            last: Any = None
            for name, component in made.items():
                before = {} if last is None else {"before": _facts_of(last)}
                last = component(**order, **before)
                self._placed(last, name)

        # kfp reads the annotations themselves, not their text.
        hardening.__annotations__ = {
            "incident": str, "number": int, "config": str, "state": str,
        }  # fmt: skip
        return dsl.pipeline(name=NAME)(hardening)

    def _placed(self, task: Any, name: str) -> None:
        heavy = name in {"harden", "evaluate"}
        # Our journal knows what was done; kfp's cache would replay a gate on an older ledger.
        task.set_caching_options(enable_caching=False)
        if name != "gate":  # a denial is an answer
            task.set_retry(num_retries=self.retries)
        if heavy and self.cpu:
            task.set_cpu_request(self.cpu).set_cpu_limit(self.cpu)
        if heavy and self.memory:
            task.set_memory_request(self.memory).set_memory_limit(self.memory)
        if self.claim:
            kfp_part("kubernetes").mount_pvc(task, pvc_name=self.claim, mount_path=STATE)


def compile_to(
    path: Path, build: Build, *, form: Literal["ir", "resources"], namespace: str | None = None
) -> None:
    """Write the pipeline: as IR, or as the resources Pipeline and PipelineVersion.

    Raises:
        ConfigError: if kfp is not installed.
    """
    compiler = kfp_part("compiler")
    extra: dict[str, Any] = {}
    if form == "resources":
        from kfp.compiler.compiler_utils import KubernetesManifestOptions  # noqa: PLC0415

        extra = {
            "kubernetes_manifest_format": True,
            "kubernetes_manifest_options": KubernetesManifestOptions(
                pipeline_name=NAME,
                pipeline_version_name=f"{NAME}-v1",
                namespace=namespace,
                include_pipeline_manifest=True,
            ),
        }
    compiler.Compiler().compile(build(), package_path=str(path), **extra)


def _facts_of(task: Any) -> Any:
    return task.outputs["Output"]


def kfp_part(part: str) -> Any:
    """A module of kfp.

    Raises:
        ConfigError: if it is not installed.
    """
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(f"kfp.{part}")
    except ImportError:
        raise ConfigError(
            f"kfp.{part} is not installed",
            where="pipeline",
            hint="pip install 'hauberk[kubeflow]'",
        ) from None
