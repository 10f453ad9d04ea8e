"""The parts that need no cluster: what is applied, jobs, leases, replicas, records."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.adapters.kserve.component import OURS, Shape, percent_of
from hauberk.adapters.kserve.replicas import FOLDER, GatheredRecords, behind, share_of
from hauberk.adapters.kubeflow.manifests import MAX_NAME, kind_of, manifest, name_of
from hauberk.adapters.kubernetes.kinds import JOB, TRAIN_JOB, Kind
from hauberk.adapters.kubernetes.lease import Leadership
from hauberk.adapters.local.files import write_file
from hauberk.adapters.local.records import RecordLog
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import EnvironmentFault
from hauberk.core.ports import Job, Routing
from hauberk.core.record import Record
from hauberk.core.spec import ClusterSpec
from hauberk.testing.kube.derive import definition
from hauberk.testing.kube.resources import defined_by
from hauberk.testing.kube.schema import Validator, builtin_complaint, prune

A, B, T = (digest_bytes(name) for name in (b"a", b"b", b"t"))
NORMAL = Routing(primary=A, twin=T)
CANARY = Routing(primary=A, twin=T, canary=B, canary_share=0.2, mode="contained")
OWNER = {"apiVersion": "hauberk.dev/v1alpha1", "kind": "ModelShield", "name": "m", "uid": "u"}


def fits(plural: str, tree: dict[str, Any]) -> None:
    """Held against the derived definition, with nothing unknown in it."""
    (resource,) = defined_by(definition(plural))
    assert resource.schema
    _, lost = prune(tree, resource.schema)
    assert lost == []
    assert Validator(resource.schema).complaint(tree) == ""


@pytest.mark.parametrize("routing", [NORMAL, CANARY], ids=["normal", "canary"])
@pytest.mark.parametrize("mode", ["serverless", "standard"])
@pytest.mark.parametrize("inject", ["predictor", "transformer"])
def test_what_is_applied_fits_the_definition(routing: Routing, mode: Any, inject: Any) -> None:
    cluster = ClusterSpec(inject=inject, mode=mode, image="i@sha256:0", logger="http://l")
    users: dict[str, Any] = {"predictor": {"minReplicas": 1}}
    ours = Shape(shield="m", cluster=cluster).spec(routing)[inject]
    assert ours.keys() <= set(OURS), "what is given back when the shield goes"
    fits("inferenceservices", {"spec": users | Shape(shield="m", cluster=cluster).spec(routing)})


def test_containment_makes_no_new_revision() -> None:
    shape = Shape(shield="m", cluster=ClusterSpec(image="i"))
    contained = msgspec.structs.replace(NORMAL, mode="contained", incident="m-1")
    assert shape.spec(contained) == shape.spec(NORMAL)


def test_a_promotion_makes_no_new_revision_either() -> None:
    for mode in ("serverless", "standard"):
        shape = Shape(shield="m", cluster=ClusterSpec(image="i", mode=mode))
        trial, promoted = shape.spec(CANARY), shape.spec(Routing(primary=B, twin=T))
        newest = trial["canary"][0] if "canary" in trial else trial
        rest = {k: v for k, v in newest["predictor"].items() if k != "canaryTrafficPercent"}
        assert rest == promoted["predictor"]


@pytest.mark.parametrize(("share", "percent"), [(0.2, 20), (0.001, 1), (1.0, 100), (0.0, 0)])
def test_a_share_in_percent(share: float, percent: int) -> None:
    assert percent_of(Routing(primary=A, canary=B, canary_share=share)) == percent


@pytest.mark.parametrize("kind", ["harden", "judge", "twin"])
def test_a_job_is_a_valid_object(kind: Any) -> None:
    job = Job(id="m-1-abc-x", kind=kind, incident="m-1-abc", inputs={"primary": A})
    tree = manifest(job, ClusterSpec(image="i@sha256:0"), shield="m", owner=OWNER)
    if kind_of(job) is TRAIN_JOB:
        fits("trainjobs", {"spec": tree["spec"]})
    else:
        assert kind_of(job) is JOB
        assert builtin_complaint({**tree, "apiVersion": "batch/v1", "kind": "Job"}) == ""
    assert all(len(value) <= 63 for value in tree["metadata"]["labels"].values())


def test_several_nodes_are_led_by_torchrun() -> None:
    job = Job(id="m-1-abc-x", kind="harden", incident="m-1-abc", inputs={"primary": A})
    tree = manifest(job, ClusterSpec(image="i", nodes=2), shield="m", owner=OWNER)
    trainer = tree["spec"]["trainer"]
    assert (trainer["command"], trainer["args"][:3]) == (["torchrun"], ["-m", "hauberk", "work"])
    assert trainer["numNodes"] == 2
    fits("trainjobs", {"spec": tree["spec"]})


@given(
    st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True),
)
def test_names_of_jobs_are_short_and_unlike(first: str, second: str) -> None:
    names = {name_of("digits-1-abcdef-harden", shield) for shield in (first, second)}
    assert len(names) == len({first, second})
    assert all(len(name) <= MAX_NAME and name[-1].isalnum() for name in names)


def test_the_share_of_a_gateway_is_all_or_nothing() -> None:
    assert share_of(CANARY, B).canary_share == 1.0
    rest = share_of(CANARY, A)
    assert (rest.canary, rest.canary_share, rest.mode) == (None, 0.0, "contained")


def test_a_ready_pod_with_another_routing_is_behind(tmp_path: Path) -> None:
    def pod(name: str, ready: str) -> dict[str, Any]:
        conditions = [{"type": "Ready", "status": ready}]
        return {"metadata": {"name": name}, "status": {"conditions": conditions}}

    pods = [pod("old", "True"), pod("new", "True"), pod("starting", "False"), pod("none", "True")]
    for name, routing in (("old", NORMAL), ("new", share_of(CANARY, A))):
        (tmp_path / FOLDER / name).mkdir(parents=True)
        path = tmp_path / FOLDER / name / "routing.json"
        write_file(path, msgspec.json.encode(routing))
    assert behind(tmp_path, pods, CANARY) == ["none", "old"]


def record(seq: int, principal: str) -> Record:
    return Record(
        id=f"{principal}-{seq}",
        seq=seq,
        at=0.0,
        principal=principal,
        digest=A,
        route="primary",
        outcome="pass",
        label=0,
    )


def test_the_records_of_all_gateways_are_read_once_in_one_order(tmp_path: Path) -> None:
    logs = {name: RecordLog(tmp_path / FOLDER / name / "records") for name in ("x", "y")}
    own = RecordLog(tmp_path / "records")
    gathered = GatheredRecords(tmp_path, own)
    assert gathered.read(0, 10) == []
    logs["x"].append([record(seq, "x") for seq in (1, 2, 3)])
    logs["y"].append([record(seq, "y") for seq in (1, 2)])
    first = gathered.read(0, 10)
    assert [one.seq for one in first] == [1, 2, 3, 4, 5]
    logs["y"].append([record(3, "y")])
    own.close()
    later = GatheredRecords(tmp_path, RecordLog(tmp_path / "records"))
    assert [(one.seq, one.id) for one in later.read(5, 10)] == [(6, "y-3")]
    ids = [one.id for one in later.read(0, 10)]
    assert sorted(ids) == ["x-1", "x-2", "x-3", "y-1", "y-2", "y-3"]


class Shelf:
    """One lease, and whether the API server answers."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] | None = None
        self.version, self.down = 0, False

    def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        if self.down:
            raise EnvironmentFault("no answer")
        return None if self.tree is None else msgspec.json.decode(msgspec.json.encode(self.tree))

    def create(self, kind: Kind, tree: dict[str, Any]) -> bool:
        return self.tree is None and self._put(tree)

    def replace(self, kind: Kind, tree: dict[str, Any]) -> bool:
        asked = tree["metadata"].get("resourceVersion")
        return self.tree is not None and asked == str(self.version) and self._put(tree)

    def _put(self, tree: dict[str, Any]) -> bool:
        self.version += 1
        meta = {**tree["metadata"], "resourceVersion": str(self.version)}
        self.tree = {**tree, "metadata": meta}
        return True


def test_one_leads_and_the_other_waits_for_an_old_lease() -> None:
    shelf, now = Shelf(), [0.0]

    def candidate(name: str) -> Leadership:
        return Leadership(shelf, "l", name, seconds=10, clock=lambda: now[0])  # type: ignore[arg-type]

    first, second = candidate("first"), candidate("second")
    assert first.attempt()
    assert not second.attempt()
    now[0] = 9.0
    assert first.attempt(), "renewed"
    now[0] = 11.0
    assert not second.attempt(), "seen renewed at 11 at the earliest"
    now[0] = 20.0
    assert not first.holds
    assert not second.attempt()
    now[0] = 21.5
    assert second.attempt()
    assert not first.attempt()
    assert shelf.tree
    assert shelf.tree["spec"]["leaseTransitions"] == 1


def test_a_lease_ends_by_our_clock_when_nobody_answers() -> None:
    shelf, now = Shelf(), [0.0]
    leader = Leadership(shelf, "l", "me", seconds=10, clock=lambda: now[0])  # type: ignore[arg-type]
    assert leader.attempt()
    shelf.down, now[0] = True, 9.0
    with pytest.raises(EnvironmentFault):
        leader.attempt()
    assert leader.holds
    now[0] = 10.0
    assert not leader.holds


def test_a_released_lease_is_taken_at_once() -> None:
    shelf = Shelf()
    first = Leadership(shelf, "l", "first", seconds=10)  # type: ignore[arg-type]
    assert first.attempt()
    first.release()
    assert Leadership(shelf, "l", "second", seconds=10).attempt()  # type: ignore[arg-type]
