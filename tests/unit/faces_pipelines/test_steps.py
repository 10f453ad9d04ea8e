"""Steps and their journal, without kfp: once per order, and nothing secret in an order."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from hauberk.adapters.local.home import Home
from hauberk.core.digest import digest_bytes, digest_json
from hauberk.core.errors import ConfigError, DataError, Denied, UserError
from hauberk.core.ports import Job
from hauberk.core.spec import AccessSpec, ClientSpec, HardenSpec, ServeSpec, Spec, StateSpec
from hauberk.faces.cli.main import run
from hauberk.faces.pipelines.order import Order
from hauberk.faces.pipelines.steps import GATE, STEPS, carried_out, gate

if TYPE_CHECKING:
    from pathlib import Path

A, B = digest_bytes(b"a"), digest_bytes(b"b")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    Home.create(tmp_path)
    return Order.of(Spec(), incident="inc-1", number=1, state=tmp_path)


def test_a_step_is_done_once_for_the_same_facts(order: Order) -> None:
    calls: list[int] = []

    def do() -> dict[str, Any]:
        calls.append(1)
        return {"b": 2}

    threads = [
        threading.Thread(target=lambda: order.once("prepare", {"a": 1}, do)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert order.once("prepare", {"a": 1}, do) == {"a": 1, "b": 2}
    with pytest.raises(DataError, match="other facts"):
        order.once("prepare", {"a": 9}, do)


def test_another_order_for_the_same_incident_is_refused(order: Order, tmp_path: Path) -> None:
    order.once("prepare", {}, dict)
    other = Spec(harden=HardenSpec(steps=9))
    for given in ({"spec": other, "number": 1}, {"spec": Spec(), "number": 2}):
        with pytest.raises(DataError, match="other settings"):
            Order.of(**given, incident="inc-1", state=tmp_path).once("harden", {}, dict)  # type: ignore[arg-type]


def test_a_step_that_fails_leaves_nothing(order: Order) -> None:
    def fail() -> dict[str, Any]:
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        order.once("prepare", {}, fail)
    assert order.done() == {}


def test_an_order_holds_nothing_of_who_may_ask(tmp_path: Path) -> None:
    spec = Spec(
        state=StateSpec(ledger="postgresql://a:s3cret@db.example/db"),
        serve=ServeSpec(clients=(ClientSpec(name="ann", token_sha256=A),), consent="c0nsent"),
        access=AccessSpec(issuer="https://issuer.example"),
    )
    text = Order.of(spec, incident="inc-1", number=1, state=tmp_path).config
    assert not {word for word in ("s3cret", "ann", A, "c0nsent", "issuer.example") if word in text}


def test_an_order_says_only_what_is_not_usual(tmp_path: Path) -> None:
    spec = Spec(harden=HardenSpec(steps=9), serve=ServeSpec(port=1))
    order = Order.of(spec, incident="inc-1", number=1, state=tmp_path)
    assert order.config == '{"harden":{"steps":9}}', "a new setting does not change old orders"
    assert order.spec == Spec(harden=HardenSpec(steps=9))


@pytest.mark.parametrize("incident", ["", "../x", "A", "a/b", "-a", "a" * 64, "a b"])
def test_what_is_no_incident(incident: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not an incident"):
        Order.of(Spec(), incident=incident, number=1, state=tmp_path)
    with pytest.raises(UserError, match="not an incident"):
        Order.of(Spec(), incident="a", number=0, state=tmp_path)


def facts(order: Order, *, verdict: str = "pass", **other: Any) -> dict[str, Any]:
    body = {"verdict": verdict, "policy": A}
    order.home.ledger.append("decision", B, body, at=0.0)
    base = {"primary": A, "twin": None, "candidate": B, "reason": "robust accuracy 0.1 < 0.4"}
    return {**base, "decision": digest_json(body), "calibration": None, "verdict": "pass", **other}


def test_the_gate_goes_by_the_ledger(order: Order) -> None:
    assert gate(order, facts(order)) == {"denied": ""}
    assert "robust accuracy" in gate(order, facts(order, verdict="fail"))["denied"]
    assert "no decision" in gate(order, {**facts(order), "decision": A})["denied"]
    assert "a known model" in gate(order, facts(order, primary=B))["denied"]
    assert "calibration" in gate(order, facts(order, twin=A))["denied"]


def test_a_denial_is_told_again(order: Order) -> None:
    before = facts(order, verdict="unknown")
    for _ in range(2):
        with pytest.raises(Denied, match="robust accuracy"):
            carried_out(GATE, order, before)
    assert order.done()[GATE].facts["denied"]


def test_jobs_have_the_loops_names_and_seeds(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Job] = []

    def fake(job: Job, *_: Any) -> dict[str, Any]:
        seen.append(job)
        return {"candidate": B}

    monkeypatch.setattr("hauberk.adapters.local.jobs.do_job", fake)
    STEPS["harden"](order, {"primary": A, "twin": None})
    assert seen == [
        Job(id="inc-1-harden", kind="harden", incident="inc-1", inputs={"primary": A}, seed=2)
    ]


def test_without_a_service_or_a_place_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="no service"):
        Order.of(Spec(), incident="a", number=1, state=tmp_path).once("prepare", {}, dict)
    words = ["pipeline", "run", "--incident", "a", "--state", str(tmp_path)]
    assert run(words) == 2
    assert "--local or --endpoint" in capsys.readouterr().err
