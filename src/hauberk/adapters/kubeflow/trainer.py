"""Jobs as objects of a cluster, each made once; their folders are on the shared volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hauberk.adapters.kubeflow.manifests import kind_of, manifest, name_of
from hauberk.adapters.local.trainer import finished, folder_of, kept, known
from hauberk.core.ports import JobStatus

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.kubernetes.cluster import Cluster
    from hauberk.core.ports import Job
    from hauberk.core.spec import ClusterSpec


@dataclass(frozen=True, kw_only=True)
class KubeflowTrainer:
    """A :class:`hauberk.core.ports.Trainer` whose jobs run as pods.

    The object's name is that of the job, so that submitting twice makes one. How often a pod is
    started again is the object's own affair; an object that failed has failed.
    """

    jobs: Path
    cluster: Cluster
    spec: ClusterSpec
    shield: str
    owner: dict[str, Any]

    def submit(self, job: Job) -> None:
        """Make the object, or leave it as it is.

        Raises:
            UserError: if the id is malformed, or belongs to another job.
            EnvironmentFault: if the API server does not answer.
        """
        folder = folder_of(self.jobs, job.id)
        kept(folder, job)
        if finished(folder) is None:
            tree = manifest(job, self.spec, shield=self.shield, owner=self.owner)
            self.cluster.create(kind_of(job), tree)

    def status(self, job_id: str) -> JobStatus | None:
        """How far a job is; None if it was never submitted."""
        folder = folder_of(self.jobs, job_id)
        job = known(folder)
        if job is None:
            return None
        # The folder first: a job that ends between the two looks has left its result by then.
        if done := finished(folder):
            return done
        name = name_of(job_id, self.shield)
        found = self.cluster.get(kind_of(job), name)
        if found is None:
            return JobStatus(state="running", message="its object is gone; it is made again")
        state, message = _condition(found)
        if state == "running":
            return JobStatus(state="running", message=message)
        if late := finished(folder):
            return late
        why = message if state == "failed" else "it completed without a result"
        return JobStatus(state="failed", message=f"{found['kind']} {name}: {why}")


def _condition(tree: dict[str, Any]) -> tuple[str, str]:
    """Whether an object runs, is done or failed, by its conditions; and what it says."""
    for one in (tree.get("status") or {}).get("conditions") or ():
        if one.get("status") == "True" and one.get("type") in {"Complete", "Failed"}:
            said = str(one.get("message") or one.get("reason") or "no reason given")
            return "done" if one["type"] == "Complete" else "failed", said
    return "running", ""
