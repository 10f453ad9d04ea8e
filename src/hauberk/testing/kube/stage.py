"""A namespace on a real API server or ours, and the parts that others play in it.

KServe, Trainer and the gateways are played here: records are told as a gateway tells them, jobs
end as their pods would end them. Nothing here needs a node, a scheduler or a controller.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
from lightkube import ApiError, Client
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.types import PatchType

from hauberk.adapters.kserve.component import FRAMEWORKS
from hauberk.adapters.kserve.deployer import SIGNED
from hauberk.adapters.kserve.replicas import FOLDER
from hauberk.adapters.kubeflow.manifests import KIND
from hauberk.adapters.kubernetes.cluster import Cluster
from hauberk.adapters.kubernetes.kinds import (
    CONFIG_MAP,
    JOB,
    LABEL,
    SERVICE,
    SHIELD,
    TRAIN_JOB,
    Kind,
)
from hauberk.adapters.local.files import write_file
from hauberk.adapters.local.home import Home
from hauberk.adapters.local.records import RecordLog
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import EnvironmentFault
from hauberk.core.ports import Routing
from hauberk.core.record import Record
from hauberk.faces.cli.glossary import TEXTS
from hauberk.faces.operator.crd import definition as shield_definition
from hauberk.govern.attest import Release
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import NAMES
from hauberk.testing.kube.derive import definition

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.ports import GuardState
    from hauberk.core.record import Route

IMAGE = "registry.example/hauberk@sha256:" + "0" * 64
_POD = "gateway-0"
RUNTIME = Kind("trainer.kubeflow.org", "v1alpha1", "TrainingRuntime", "trainingruntimes")
_ESTABLISHED = 60.0  # seconds
_DEFINITION: Any = create_global_resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
)
_NAMESPACE: Any = create_global_resource("", "v1", "Namespace", "namespaces")
SPEC: dict[str, Any] = {
    "loop": {
        "canary_requests": 5,
        "canary_share": 0.2,
        "cooldown": 0,
        "post_requests": 5,
        "traffic_timeout": 600,
    },
    "cluster": {"logger": "http://payloads.example"},
}


def define(kubeconfig: Path) -> list[str]:
    """Define the kinds that are missing, and ours as this version has it; what was missing.

    What KServe and Trainer brought stays as it is.

    Raises:
        EnvironmentFault: if the API server does not serve them in time.
    """
    os.environ["KUBECONFIG"] = str(kubeconfig)
    made = []
    with Client(field_manager="tests") as client:
        for kind in (SERVICE, TRAIN_JOB, RUNTIME, SHIELD):
            tree = shield_definition(TEXTS) if kind == SHIELD else definition(kind.plural)
            if not _served(client, kind):
                made.append(tree["metadata"]["name"])
                _define(client, tree)
            elif kind == SHIELD:
                patch = {"spec": tree["spec"]}
                name = tree["metadata"]["name"]
                client.patch(_DEFINITION, name, patch, patch_type=PatchType.MERGE)
        for kind in (SERVICE, TRAIN_JOB, RUNTIME, SHIELD):
            deadline = time.monotonic() + _ESTABLISHED
            while not _served(client, kind):
                if time.monotonic() > deadline:
                    raise EnvironmentFault(f"{kind.plural} are not served", where=str(kubeconfig))
                time.sleep(0.1)
    return made


def undefine(kubeconfig: Path, names: list[str]) -> None:
    """Take definitions away again, with all objects of theirs."""
    os.environ["KUBECONFIG"] = str(kubeconfig)
    with Client(field_manager="tests") as client:
        for name in names:
            client.delete(_DEFINITION, name)


def _define(client: Client, tree: dict[str, Any]) -> None:
    try:
        client.create(_DEFINITION(tree))
    except ApiError as error:
        if error.status.reason != "AlreadyExists":  # by a run beside this one
            raise


def _served(client: Client, kind: Kind) -> bool:
    """Whether the API server answers for a kind; once it is defined, that takes it a moment."""
    resource = create_namespaced_resource(kind.group, kind.version, kind.kind, kind.plural)
    try:
        list(client.list(resource, namespace="default"))
    except ApiError as error:
        if error.status.code in {404, 429, 503}:
            return False
        raise
    return True


def _namespace() -> str:
    name = f"hauberk-{uuid.uuid4().hex[:8]}"
    with Client(field_manager="tests") as client:
        client.create(_NAMESPACE({"metadata": {"name": name}}))
    return name


@dataclass
class Operator:
    """The operator as a process; its output is in ``log``."""

    namespace: str
    state: Path
    log: Path
    kubeconfig: Path
    lease: int = 2
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it leads once the lease of the one before is old."""
        command = [sys.executable, "-m", "hauberk", "operator", "run", "-n", self.namespace]
        command += ["--state", str(self.state), "--image", IMAGE]
        command += ["--lease-seconds", str(self.lease)]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """Ask it to end."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def lines(self) -> list[dict[str, Any]]:
        """What it said, line by line; what is no JSON is kept as ``text``."""
        found = []
        for line in self.log.read_bytes().splitlines():
            try:
                found.append(msgspec.json.decode(line))
            except msgspec.DecodeError:
                found.append({"event": "?", "text": line.decode(errors="replace")})
        return found


@dataclass
class Stage:
    """A namespace, the state directories of its services, and the operator."""

    cluster: Cluster
    state: Path
    operator: Operator

    @classmethod
    def open(cls, kubeconfig: Path, folder: Path, *, lease: int = 2) -> Self:
        """Set a stage up where the kinds are defined; the operator is not started.

        ``lease`` is the length of its lease in seconds: more, where the API server is far away.
        """
        os.environ["KUBECONFIG"] = str(kubeconfig)
        namespace, state = _namespace(), folder / "state"
        state.mkdir(parents=True)
        operator = Operator(namespace, state, folder / "operator.log", kubeconfig, lease)
        cluster = Cluster(namespace)
        cluster.create(CONFIG_MAP, {"metadata": {"name": SIGNED}})  # as the chart does
        return cls(cluster, state, operator)

    def close(self) -> None:
        """Stop the operator, clear the namespace and let go of the cluster."""
        if self.operator.process and self.operator.process.poll() is None:
            self.operator.kill()
        for tree in self.cluster.list(SHIELD):  # the operator is gone, which would let them go
            self.cluster.merge(SHIELD, tree["metadata"]["name"], {"metadata": {"finalizers": None}})
        with Client(field_manager="tests") as client:
            client.delete(_NAMESPACE, self.cluster.namespace)
        self.cluster.close()

    def home(self, name: str) -> Home:
        """The state directory of a service."""
        return Home(self.state / name)

    def set_up(self, name: str) -> Routing:
        """Register a signed pair of models for a service, as `hauberk models register` does."""
        home = Home.create(self.state / name)
        primary, twin = (self.blob(name, part) for part in ("primary", "twin"))
        home.trust.sign(primary, Release(role="initial", by="tests"), time.time())
        home.trust.sign(twin, Release(role="twin"), time.time())
        routing = Routing(primary=primary, twin=twin, calibration=home.store.put(calibration()))
        write_file(home.folder / "routing.json", msgspec.json.encode(routing))
        return routing

    def blob(self, name: str, part: str) -> str:
        """Something in a service's store that stands for a model; its digest."""
        return self.home(name).store.put(f"{name}:{part}".encode())

    def service(self, name: str, *, spec: dict[str, Any] | None = None) -> None:
        """An ``InferenceService`` as a user writes it, labelled for protection."""
        model = {"modelFormat": {"name": "onnx"}, "storageUri": "s3://models/digits"}
        tree = {
            "metadata": {"name": name, "labels": {LABEL: name}},
            "spec": spec or {"predictor": {"minReplicas": 1, "model": model}},
        }
        with Client(namespace=self.cluster.namespace, field_manager="user") as user:
            self._as(user, SERVICE, tree)

    def shield(self, name: str, spec: dict[str, Any] | None = None) -> None:
        """A ``ModelShield``."""
        with Client(namespace=self.cluster.namespace, field_manager="user") as user:
            self._as(user, SHIELD, {"metadata": {"name": name}, "spec": spec or SPEC})

    def status(self, name: str) -> dict[str, Any]:
        """What a ``ModelShield`` says of itself."""
        found = self.cluster.get(SHIELD, name) or {}
        return dict(found.get("status") or {})

    def spec_of(self, name: str) -> dict[str, Any]:
        """The spec of an ``InferenceService``."""
        found = self.cluster.get(SERVICE, name) or {}
        return dict(found.get("spec") or {})

    def wait(
        self, what: str, ready: Callable[[], Any], *, seconds: float = 120.0, pause: float = 0.05
    ) -> Any:
        """Wait until something holds; what it gave.

        Raises:
            EnvironmentFault: naming what did not come to be.
        """
        deadline = time.monotonic() + seconds
        while not (found := ready()):
            if time.monotonic() > deadline:
                last = [line for line in self.operator.lines() if line][-3:]
                raise EnvironmentFault(f"not in {seconds:g} s: {what}; the operator said {last}")
            time.sleep(pause)
        return found

    def reach(self, name: str, *phases: str, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until a service's loop is in one of the phases; its status."""

        def there() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status.get("phase") in phases else None

        found: dict[str, Any] = self.wait(f"{name} in {phases}", there, seconds=seconds)
        return found

    def tell(
        self,
        name: str,
        count: int,
        *,
        digest: str,
        route: Route = "primary",
        p: float = 0.9,
        agree: bool = True,
        shared: GuardState | None = None,
    ) -> None:
        """Records of a gateway: ``p`` is how benign each request looks.

        It tells them in its own log, or in the state that gateways share.
        """
        log = RecordLog(self.state / name / FOLDER / _POD / "records")
        first = 1 + ((shared.known(_POD) or 0) if shared else log.last_seq())
        records = [
            Record(
                id=str(seq),
                seq=seq,
                at=time.time(),
                principal="client",
                digest=digest,
                route=route,
                outcome="pass",
                label=1,
                twin_label=1 if agree else 2,
                p_value=p,
                p_benign=p,
                features=(0.5,) * len(NAMES),
            )
            for seq in range(first, first + count)
        ]
        if shared:
            shared.tell(_POD, records)
            return
        log.append(records)
        log.close()

    def attack(self, name: str, digest: str) -> None:
        """Requests that no benign shift explains."""
        self.tell(name, 200, digest=digest, p=1e-6)

    def jobs(self, kind: Kind, name: str) -> list[dict[str, Any]]:
        """The objects of a service's jobs."""
        return self.cluster.list(kind, labels={LABEL: name})

    def job_folder(self, name: str, kind: str) -> Path:
        """The folder of the newest job of a kind, once it was submitted."""

        def found() -> list[Path]:
            return sorted((self.state / name / "jobs").glob(f"*-{kind}"), key=_born)

        return Path(self.wait(f"a {kind} job of {name}", found)[-1])

    def end_job(self, name: str, kind: str, result: dict[str, Any]) -> None:
        """A job's pod leaves its result, as `hauberk work` does."""
        folder = self.job_folder(name, kind)
        object_kind = TRAIN_JOB if kind == "harden" else JOB
        self.wait(
            f"the object of {folder.name}",
            lambda: [
                one
                for one in self.jobs(object_kind, name)
                if one["metadata"]["labels"][KIND] == kind
            ],
        )
        write_file(folder / "result.json", msgspec.json.encode(result))

    def fail_training(self, name: str, message: str) -> None:
        """The newest ``TrainJob`` fails, as Trainer says it."""
        job = self.wait("a TrainJob", lambda: self.jobs(TRAIN_JOB, name))[-1]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {
            "type": "Failed",
            "status": "True",
            "reason": "BackoffLimitExceeded",
            "message": message,
            "lastTransitionTime": now,
        }
        self.cluster.status(TRAIN_JOB, job["metadata"]["name"], {"conditions": [condition]})

    def harden(self, name: str) -> str:
        """The training ends with a candidate; its digest."""
        candidate = self.blob(name, f"candidate {time.time_ns()}")
        self.end_job(name, "harden", {"candidate": candidate})
        return candidate

    def judge(self, name: str, candidate: str, verdict: str = "pass") -> None:
        """The gate decides."""
        policy, decision = digest_bytes(b"policy"), digest_bytes(b"decision")
        result = {"candidate": candidate, "verdict": verdict, "policy": policy}
        fitted = self.home(name).store.put(calibration())
        self.end_job(name, "judge", {**result, "decision": decision, "calibration": fitted})

    def pair(self, name: str) -> str:
        """The promoted model gets a twin; its digest."""
        twin, fitted = self.blob(name, f"twin {time.time_ns()}"), calibration()
        stored = self.home(name).store.put(fitted)
        self.end_job(name, "twin", {"twin": twin, "calibration": stored})
        return twin

    def _as(self, user: Client, kind: Kind, tree: dict[str, Any]) -> None:
        resource: Any = create_namespaced_resource(kind.group, kind.version, kind.kind, kind.plural)
        user.create(resource({**tree, "apiVersion": kind.api_version, "kind": kind.kind}))


def calibration() -> bytes:
    """A calibration of clean traffic with even scores."""
    rng = np.random.default_rng(0)
    scores = rng.random(400)
    features = rng.random((400, len(NAMES)))
    return Calibration.fit(scores, {"noise": scores}, features, agreeing=390).to_bytes()


def framework_of(spec: dict[str, Any]) -> set[str]:
    """The frameworks that a predictor names."""
    return set(FRAMEWORKS) & (spec.get("predictor") or {}).keys()


def _born(path: Path) -> float:
    return path.stat().st_mtime
