"""The kinds of objects that we read and write, and how their paths name them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A namespaced kind; ``group`` is empty for the core API."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """As ``apiVersion`` writes it."""
        return f"{self.group}/{self.version}" if self.group else self.version


GROUP = "hauberk.dev"
SHIELD = Kind(GROUP, "v1alpha1", "ModelShield", "modelshields")
SERVICE = Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")
TRAIN_JOB = Kind("trainer.kubeflow.org", "v1alpha1", "TrainJob", "trainjobs")
JOB = Kind("batch", "v1", "Job", "jobs")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
EVENT = Kind("", "v1", "Event", "events")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
POD = Kind("", "v1", "Pod", "pods")

LABEL = f"{GROUP}/shield"
"""On an ``InferenceService``: the name of the ``ModelShield`` that protects it."""
DIGEST = f"{GROUP}/digest"
"""On a pod, as an annotation: the digest of the model that its revision was made for."""
