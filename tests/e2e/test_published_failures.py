"""How the published loop fails, and that ours does not: against running processes."""

from __future__ import annotations

import json
import pickle
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from hauberk.core.ports import Routing
from hauberk.core.rule import RULES
from hauberk.faces.cli.main import run
from hauberk.guard.shifts import shift
from hauberk.loop.events import Alarm, CanaryOver, Checked, Hardened, Judged, Paired
from hauberk.testing.service import HONEST, HOSTILE, SMALL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Make, Story

ROUTING = "/v2/hauberk/routing"
OPERATORS_PATHS = ("/v2/hauberk/routing", "/v2/hauberk/status", "/metrics")
pytestmark = pytest.mark.timeout(900)


class Payload:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.mark, "w")


def test_published_failure_1_clean_traffic_raises_no_alarm(story: Story) -> None:
    """It compared a fraction with a percentage."""
    assert sum(shot.kind == "clean" and shot.number < 10**6 for shot in story.shots) >= 300
    assert {turn.state.incidents for turn in story.clean_turns} == {0}
    alarm = story.account.incident()[0]
    assert isinstance(alarm.event, Alarm)
    hostile = min(shot.at for shot in story.shots if shot.kind != "clean")
    assert alarm.at > hostile, "the alarm came before the attack"
    pages = [page for page in story.account.home.pager.lines() if page.at < hostile]
    assert pages == []
    # One unit on both sides: nats of evidence against the limit that alpha sets.
    finding = alarm.event.finding
    assert finding.value is not None
    assert finding.limit is not None
    assert finding.value >= finding.limit > 1.0
    assert "nats" in RULES["HB-D001"].text
    assert all(0.0 <= r.p_value <= 1.0 for r in story.records if r.p_value is not None)
    figures = story.account.figures()
    assert all(0 <= row["before"] <= row["n"] and 0 <= row["after"] <= row["n"] for row in figures)


def test_published_failure_2_attacked_inputs_reach_the_detector(story: Story) -> None:
    told = {record.id: record for record in story.records}
    answered = [shot for shot in story.shots if shot.kind == "fgsm" and not shot.error]
    assert len(answered) > 20
    missed = [shot.number for shot in answered if f"fgsm-{shot.number}" not in told]
    assert missed == []
    mine = [told[f"fgsm-{shot.number}"] for shot in answered]
    assert {record.principal for record in mine} == {HOSTILE}
    assert all(record.p_benign is not None and record.features for record in mine)
    before = [r for r in mine if r.digest == story.before.primary and r.route == "primary"]
    clean = [r for r in story.records if r.principal == HONEST and r.digest == before[0].digest]
    suspicion = [np.median([r.p_benign for r in part]) for part in (before, clean)]
    assert suspicion[0] < 0.5 * suspicion[1]
    event = story.account.incident()[0].event
    assert isinstance(event, Alarm)
    cause = next(record for record in story.records if record.seq == event.finding.spec["seq"])
    assert cause.at > min(shot.at for shot in answered) - 1.0


def test_published_failure_3_the_attack_is_found_without_labels(story: Story) -> None:
    event = story.account.incident()[0].event
    assert isinstance(event, Alarm)
    assert event.finding.rule == "HB-D001"
    assert event.finding.spec["alpha"] == SMALL.detect.alpha  # the false-alarm rate, any length
    assert not {"truth", "target", "y"} & {
        f.name for f in msgspec.structs.fields(type(story.records[0]))
    }
    found = story.account.detection()
    assert found is not None
    assert found <= 100


@pytest.mark.parametrize(
    ("kind", "strength"), [("noise", 0.1), ("brightness", 0.15), ("rotation", 15.0)]
)
def test_published_failure_3_drift_is_called_drift(
    service: Make, kind: str, strength: float
) -> None:
    one = service()
    one.start_gateway()
    one.start_controller()
    rng = np.random.default_rng(3)
    drifted = shift(one.rows(240), kind, strength, rng=rng)
    for start in range(0, len(drifted), 40):
        one.send(drifted[start : start + 40], name=f"{kind}-{start}")
    one.wait_for(lambda _: one.read_up_to_date(), seconds=120)
    turn = one.turn()
    assert turn is not None
    assert (turn.state.phase, turn.state.incidents) == ("serving", 0)
    found = [entry.body for entry in one.home.ledger.entries(kind="evidence")]
    drift = [body for body in found if body["rule"] == "HB-D002"]
    assert len(drift) == 1
    assert drift[0]["verdict"] == "fail"
    assert not [body for body in found if body["rule"] == "HB-D001"]
    assert [page.message[:7] for page in one.home.pager.lines()] == ["HB-D002"]


def test_published_failure_4_the_hardened_model_is_the_one_that_serves(story: Story) -> None:
    turns = story.account.incident()
    order = [type(turn.event) for turn in turns]
    steps = [Hardened, Judged, CanaryOver, Checked, Paired]
    assert [kind for kind in order if kind in steps] == steps
    events = {type(turn.event): turn for turn in turns}
    judged, over = events[Judged].event, events[CanaryOver].event
    assert isinstance(judged, Judged)
    assert isinstance(over, CanaryOver)
    assert judged.verdict == over.finding.verdict == "pass"
    after = msgspec.json.decode((story.folder / "routing.json").read_bytes(), type=Routing)
    assert after.primary == judged.candidate != story.before.primary
    assert after.twin not in {None, story.before.twin}
    # What clients saw: the old model, its twin, the canary beside it, then the new model.
    assert story.unlawful == []
    new = [shot for shot in story.shots if shot.digest == after.primary]
    promoted = events[CanaryOver].at
    assert {shot.route for shot in new} == {"canary", "primary"}
    assert all(shot.at > promoted for shot in new if shot.route == "primary")
    old = [shot for shot in story.shots if shot.digest == story.before.primary]
    contained = min(shot.at for shot in story.shots if shot.route == "twin")
    assert max(shot.at for shot in old) < contained + 1.0
    assert not any(shot.error for shot in story.shots)


def test_published_failure_4_and_8_rollback_within_five_seconds(
    service: Make, story: Story
) -> None:
    one = service(story.folder)
    one.start_gateway()
    one.start_controller()
    bad = one.home.deployer.routing()
    assert bad is not None
    x = one.rows(1)
    assert one.send(x, name="before")[0].digest == bad.primary != story.before.primary
    began = time.monotonic()
    state = ("--state", str(one.home.folder), "--config", str(one.config))
    assert run(["loop", "rollback", "--reason", "a test", "--format", "json", *state]) == 0
    assert time.monotonic() - began < 5.0
    assert one.send(x, name="after")[-1].digest == story.before.primary
    refused = one.put(bad)
    assert refused.status_code == 409
    assert "revoked" in refused.text
    assert one.put(Routing(primary=story.before.primary, canary=bad.primary)).status_code == 409
    assert one.send(x, name="still")[-1].digest == story.before.primary
    assert one.home.trust.revoked(bad.primary)


def test_published_failure_5_a_hundred_alarms_are_one_training(service: Make) -> None:
    one = service()
    one.start_gateway()
    one.start_controller()
    state = ("--state", str(one.home.folder), "--config", str(one.config))
    for number in range(98):
        one.alarm(f"{number % 49}")
    for _ in range(2):
        assert run(["loop", "alarm", "--reason", "again", "--key", "cli", *state]) == 0
    turn = one.wait_for(lambda turn: turn.state.phase == "judging", seconds=300)
    assert turn.state.incidents == 1
    assert turn.state.incident is not None
    assert turn.state.incident.alarms == 50, "an alarm's key counts once"
    assert len(turn.state.trainings) == 1
    assert len(one.jobs("harden")) == 1
    assert one.starts(one.jobs("harden")[0]).count == 1
    assert not list((one.home.folder / "inbox").glob("*.json"))


def test_published_failure_5_the_budget_holds_the_next_training_back(
    service: Make, story: Story
) -> None:
    one = service(story.folder, replace(SMALL, loop=replace(SMALL.loop, max_trainings=1)))
    one.start_gateway()
    one.start_controller()
    one.alarm("the next day")
    turn = one.wait_for(
        lambda turn: bool(turn.state.incident and turn.state.incident.waiting), seconds=60
    )
    assert turn.state.phase == "contained"
    assert turn.state.routing.mode == "contained"
    assert len(one.jobs("harden")) == 1, "a second training was started"
    assert any("training held back" in page.message for page in one.home.pager.lines())


@pytest.mark.parametrize("path", OPERATORS_PATHS)
def test_published_failure_6_control_endpoints_need_the_operator(path: str, service: Make) -> None:
    one = service()
    one.start_gateway()
    ordinary, operator = one.tokens[HONEST], one.home.operator_token
    assert one.ask("GET", path).status_code == 401
    assert one.ask("GET", path, token="guessed").status_code == 401
    assert one.ask("GET", path, token=ordinary).status_code == 403
    assert one.ask("GET", path, token=operator).status_code == 200
    if path != ROUTING:
        return
    routing = one.home.deployer.routing()
    assert routing is not None
    other = replace(routing, mode="contained")
    assert one.ask("PUT", path, body=other).status_code == 401
    assert one.ask("PUT", path, token=ordinary, body=other).status_code == 403
    assert one.home.deployer.routing() == routing
    assert one.ask("POST", f"/v2/models/{SMALL.model.name}/infer", body={}).status_code == 401


def test_published_failure_6_only_signed_models_are_served_and_never_a_pickle(
    service: Make, tmp_path: Path
) -> None:
    one = service()
    one.start_gateway()
    home, mark = one.home, tmp_path / "executed"
    evil = tmp_path / "model.safetensors"
    evil.write_bytes(pickle.dumps(Payload(str(mark))))
    state = ("--state", str(home.folder), "--config", str(one.config))
    assert run(["models", "register", str(evil), "--by", "mallory", *state]) == 2
    unsigned = home.store.put(b"not a model, and nobody signed it")
    assert one.put(Routing(primary=unsigned)).status_code == 409
    signed = home.store.put_file(evil)  # even one that somebody was talked into signing
    home.trust.sign(signed, {"role": "initial", "by": "a fool"}, time.time())
    refused = one.put(Routing(primary=signed))
    assert refused.status_code == 409
    assert not mark.exists(), "the pickle was loaded"
    assert one.is_ready()
    # What is revoked, or altered on the disk, is withdrawn while it is served.
    routing = home.deployer.routing()
    assert routing is not None
    revoke = ["revoke", routing.primary, "--reason", "a test"]
    assert run([*revoke, "--state", str(home.folder)]) == 0
    assert _within(20.0, lambda: not one.is_ready())
    shot = one.send(one.rows(1), name="revoked")[0]
    assert (shot.digest, shot.label) == ("", -1)
    assert "503" in shot.error
    assert one.put(routing).status_code == 409


def test_published_failure_6_an_altered_model_is_not_served(service: Make) -> None:
    one = service()
    routing = msgspec.json.decode((one.home.folder / "routing.json").read_bytes(), type=Routing)
    one.start_gateway()
    file = one.home.store.path(routing.primary)
    _alter(file)
    assert _within(20.0, lambda: not one.is_ready()), "served although it was altered"
    assert one.gateway is not None
    one.gateway.stop()
    one.wake_gateway()
    assert not one.is_ready()
    status = one.ask("GET", "/v2/hauberk/status", token=one.home.operator_token).json()
    assert "HB-S001" in status["obstacle"]
    shot = one.send(one.rows(1), name="altered")[0]
    assert (shot.digest, shot.label) == ("", -1)
    assert one.put(routing).status_code == 409


def test_published_failure_7_several_attacks_radii_intervals_and_conditions(story: Story) -> None:
    bodies = [entry.body for entry in story.account.home.ledger.entries(kind="evidence")]
    entries = [body for body in bodies if "rule" in body]
    candidate = story.turns[-1].state.routing.primary
    for subject in (story.before.primary, candidate):
        single = [e for e in entries if e["rule"] == "HB-E006" and e["subject"] == subject]
        kinds = {body["spec"]["attack"].split("40x")[0] for body in single}
        assert kinds == {"fgsm", "pgd", "square"}  # one step, many steps, no gradient
        for kind in kinds:
            mine = [b for b in single if b["spec"]["attack"].startswith(kind)]
            assert {round(body["spec"]["eps_factor"], 6) for body in mine} == {0.5, 1.0}
        worst = [e for e in entries if e["rule"] == "HB-E001" and e["subject"] == subject]
        at_threat = {w["spec"]["eps_factor"]: w["value"] for w in worst}
        assert at_threat[1.0] <= min(b["value"] for b in single if b["spec"]["eps_factor"] == 1.0)
        for body in (*single, *worst):
            low, high = body["interval"]
            assert 0.0 <= low <= body["value"] <= high <= 1.0
            assert high > low
            assert body["spec"]["n"] == SMALL.gate.samples
            assert isinstance(body["spec"]["seed"], int)
            assert body["spec"]["dataset"].startswith("sha256:")
    decision = story.account.decision()
    assert decision is not None
    rows = {row["rule"]: row for row in decision["rows"] if row["binding"]}
    assert rows.keys() == {f"HB-E00{number}" for number in (1, 2, 3, 4, 5, 7)}
    assert decision["policy"].startswith("sha256:")


def test_published_failure_8_a_hardening_that_recovers_nothing_is_denied(
    service: Make, prepared: Path
) -> None:
    hopeless = replace(
        SMALL,
        harden=replace(SMALL.harden, epochs=1),
        gate=replace(SMALL.gate, robust_accuracy=0.99),
    )
    one = service(prepared, hopeless)
    one.start_gateway()
    one.start_controller()
    before = one.home.deployer.routing()
    assert before is not None
    one.alarm("an attack")
    one.reach("halted")
    turn = one.settle()
    incident = turn.state.incident
    assert incident is not None
    assert incident.candidate is not None
    assert turn.state.routing.primary == before.primary
    assert turn.state.routing.mode == "contained"
    assert turn.state.routing.canary is None
    decisions = one.home.ledger.entries(kind="decision", subject=incident.candidate)
    assert {entry.body["verdict"] for entry in decisions} == {"fail"}
    told = [page.message for page in one.home.pager.lines() if page.incident == incident.id]
    assert any("halted while judging" in text and "not promoted" in text for text in told)
    state = ("--state", str(one.home.folder), "--config", str(one.config))
    assert run(["loop", "status", *state]) == 1
    shots = one.send(one.rows(20), name="halted")
    assert {shot.digest for shot in shots} == {before.twin}
    assert one.put(replace(before, canary=incident.candidate, canary_share=1.0)).status_code == 409
    assert run(["loop", "rollback", *state]) == 0
    shots += one.send(one.rows(20), name="back")
    assert shots[-1].digest == before.primary
    served = {shot.digest for shot in shots} | {record.digest for record in one.records()}
    assert incident.candidate not in served
    assert one.unlawful(shots) == []
    assert json.loads((one.home.folder / "routing.json").read_text())["primary"] == before.primary


def _alter(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(bytes(data))


def _within(seconds: float, holds: object) -> bool:
    deadline = time.monotonic() + seconds
    assert callable(holds)
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
