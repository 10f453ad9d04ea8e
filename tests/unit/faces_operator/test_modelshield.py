"""The definition of ModelShield, its status, and the orders that people leave on it."""

from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError
from hauberk.core.ports import Routing
from hauberk.core.spec import LoopSpec, Spec, parse_spec
from hauberk.faces.cli.glossary import TEXTS
from hauberk.faces.cli.operator import crd
from hauberk.faces.operator.crd import definition
from hauberk.faces.operator.orders import ALARM, REVIEW, ROLLBACK, orders
from hauberk.faces.operator.status import conditions_of, status_of, steady
from hauberk.loop.events import Alarm, Reviewed, Rollback
from hauberk.loop.machine import step
from hauberk.loop.state import State, begin
from hauberk.testing.kube.schema import Validator, builtin_complaint, prune

ROOT = Path(__file__).parents[3]
SCHEMA = definition(TEXTS)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
ROUTING = Routing(primary=digest_bytes(b"p"), twin=digest_bytes(b"t"))


def complaint(spec: object) -> str:
    return Validator(SCHEMA).complaint({"metadata": {"name": "m"}, "spec": spec})


def state_of(**annotations: str) -> State:
    state = begin("m", LoopSpec(), ROUTING)
    for order in orders(annotations, state, at=1.0):
        state, _ = step(state, order)
    return state


@pytest.mark.parametrize("folder", ["crd", "helm/hauberk/crds"])
def test_the_definition_in_the_repository_is_the_specs(folder: str) -> None:
    text = (ROOT / "deploy" / folder / "modelshields.hauberk.dev.yaml").read_text("utf-8")
    assert yaml.safe_load(text) == definition(TEXTS), "after a change of the Spec: make crd"


def test_the_definition_itself_is_valid() -> None:
    assert crd.callback is not None
    assert builtin_complaint(definition(TEXTS)) == ""


def test_every_key_of_the_spec_can_be_said_and_nothing_else() -> None:
    whole = msgspec.json.decode(msgspec.json.encode(Spec()))
    assert complaint(whole) == ""
    _, lost = prune({"spec": whole}, SCHEMA)
    assert lost == []
    _, lost = prune({"spec": {"loop": {"cooldwon": 1}}}, SCHEMA)
    assert lost == [".spec.loop.cooldwon"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"serve": {"port": 70000}},
        {"detect": {"alpha": 0}},
        {"threat": {"norm": "l3"}},
        {"loop": {"max_trainings": 0}},
        {"serve": {"clients": [{"name": "a", "token_sha256": "plain"}]}},
        {"cluster": {"mode": "modelmesh"}},
    ],
)
def test_what_the_spec_refuses_the_api_server_refuses_too(wrong: dict[str, object]) -> None:
    assert complaint(wrong) != ""
    with pytest.raises(ConfigError):
        parse_spec(wrong)


@given(
    share=st.floats(-1, 2, allow_nan=False),
    trainings=st.integers(-2, 5),
    norm=st.sampled_from(["linf", "l2", "l7"]),
)
def test_both_readers_agree(share: float, trainings: int, norm: str) -> None:
    tree = {"loop": {"canary_share": share, "max_trainings": trainings}, "threat": {"norm": norm}}
    try:
        parse_spec(tree)
        fits = True
    except ConfigError:
        fits = False
    assert (complaint(tree) == "") == fits


def test_an_annotation_is_one_command_however_often_it_is_read() -> None:
    state = begin("m", LoopSpec(), ROUTING)
    (alarm,) = orders({ALARM: "seen by a person"}, state, at=1.0)
    assert isinstance(alarm, Alarm)
    state, _ = step(state, alarm)
    assert state.incident
    assert list(orders({ALARM: "seen by a person"}, state, at=2.0)) == []
    (again,) = orders({ALARM: "seen again"}, state, at=2.0)
    assert isinstance(again, Alarm)
    assert again.key != alarm.key


def test_a_review_is_of_the_open_incident_alone() -> None:
    state = state_of(**{ALARM: "x"})
    assert state.incident
    (review,) = orders({REVIEW: f"{state.incident.id}=dismiss"}, state, at=2.0)
    assert isinstance(review, Reviewed)
    assert review.verdict == "dismiss"
    for text in ("other=dismiss", f"{state.incident.id}=maybe", state.incident.id, ""):
        assert list(orders({REVIEW: text}, state, at=2.0)) == []


def test_a_rollback_says_why() -> None:
    (order,) = orders({ROLLBACK: "bad figures"}, begin("m", LoopSpec(), ROUTING), at=1.0)
    assert isinstance(order, Rollback)
    assert order.reason == "bad figures"


def test_the_status_is_valid_in_every_phase() -> None:
    for state in (None, begin("m", LoopSpec(), ROUTING), state_of(**{ALARM: "x" * 5000})):
        lines = conditions_of(state, obstacle="", fault="y" * 5000, generation=1, at=0.0)
        status = status_of(state, conditions=lines, evidence=None, generation=1)
        _, lost = prune({"status": status}, SCHEMA)
        assert lost == []
        assert Validator(SCHEMA).complaint({"status": status}) == ""


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    def lines(obstacle: str, at: float) -> list[dict[str, str]]:
        return conditions_of(None, obstacle=obstacle, fault="", generation=1, at=at)

    first = lines("", 0.0)
    same = steady(lines("", 60.0), first)
    assert {one["lastTransitionTime"] for one in same} == {"1970-01-01T00:00:00Z"}
    other = {one["type"]: one for one in steady(lines("gone", 60.0), first)}
    assert other["Shielded"]["lastTransitionTime"] == "1970-01-01T00:01:00Z"
    assert other["Working"]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
