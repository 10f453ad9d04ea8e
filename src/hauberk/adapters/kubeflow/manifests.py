"""A job of the loop as an object: a hardening as ``TrainJob``, all else as a ``Job``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.adapters.kserve.component import MOUNT
from hauberk.adapters.kubernetes.kinds import JOB, LABEL, TRAIN_JOB, Kind
from hauberk.core.digest import digest_bytes, short

if TYPE_CHECKING:
    from hauberk.core.ports import Job
    from hauberk.core.spec import ClusterSpec

MAX_NAME = 40
"""What JobSet, Job and pod may still append to before a label is full (63)."""
INCIDENT = "hauberk.dev/incident"
KIND = "hauberk.dev/job"
_RETRIES = 2


def kind_of(job: Job) -> Kind:
    """A hardening is the incident's one ``TrainJob``; judging and pairing are plain jobs."""
    return TRAIN_JOB if job.kind == "harden" else JOB


def name_of(job_id: str, shield: str) -> str:
    """The object's name: unlike that of any other shield, and with a mark where it is cut."""
    name = job_id if job_id.startswith(f"{shield}-") else f"{shield}-{job_id}"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9].rstrip('-.')}-{short(digest_bytes(name.encode()))[:8]}"


def manifest(
    job: Job, cluster: ClusterSpec, *, shield: str, owner: dict[str, Any]
) -> dict[str, Any]:
    """The object that runs ``hauberk work`` on the job's folder; ``owner`` refers to the shield."""
    arguments = ["work", "--config", f"{MOUNT}/jobs/hauberk.toml", "--state", MOUNT]
    arguments.append(f"{MOUNT}/jobs/{job.id}")
    labels = {LABEL: shield, KIND: job.kind, INCIDENT: name_of(job.incident, shield)}
    meta = {"name": name_of(job.id, shield), "labels": labels, "ownerReferences": [owner]}
    if job.kind == "harden":
        several = cluster.nodes > 1  # then each node's agent is torchrun, by what Trainer sets
        trainer = {
            "image": cluster.image,
            "command": ["torchrun"] if several else ["hauberk"],
            "args": ["-m", "hauberk", *arguments] if several else arguments,
            "numNodes": cluster.nodes,
            # By which the training runtime mounts this service's part of the volume alone.
            "env": [{"name": "HAUBERK_SHIELD", "value": shield}],
        }
        reference = {
            "apiGroup": "trainer.kubeflow.org",
            "kind": "TrainingRuntime",
            "name": cluster.runtime,
        }
        return {"metadata": meta, "spec": {"runtimeRef": reference, "trainer": trainer}}
    return {"metadata": meta, "spec": _job(arguments, cluster, shield, labels)}


def _job(
    arguments: list[str], cluster: ClusterSpec, shield: str, labels: dict[str, str]
) -> dict[str, Any]:
    container = {
        "name": "hauberk",
        "image": cluster.image,
        "command": ["hauberk"],
        "args": arguments,
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": MOUNT, "subPath": shield},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the pod
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "state", "persistentVolumeClaim": {"claimName": cluster.volume}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
        ],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {"backoffLimit": _RETRIES, "template": template}
