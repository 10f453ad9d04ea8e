from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hauberk.adapters.http.watch_metrics import Metrics
from hauberk.adapters.local.cloud_events import FileSink, Webhook, event
from hauberk.adapters.local.home import Home
from hauberk.core.errors import EnvironmentFault, UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.ports import Routing
from hauberk.faces.cli.main import run
from hauberk.monitor.station import Station, monitors
from hauberk.testing.monitor_checks import DIGEST, toy_calibration, toy_records

if TYPE_CHECKING:
    from pathlib import Path

CALIBRATION = toy_calibration(n=600)
QUIET = toy_records(300, calibration=CALIBRATION, first=1)
LOUD = toy_records(300, calibration=CALIBRATION, first=301, attacked=0.9, seed=2)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    home = Home.create(tmp_path / "state")
    digest = home.store.put(CALIBRATION.to_bytes())
    routing = Routing(primary=DIGEST, twin=DIGEST, calibration=digest)
    (home.folder / "routing.json").write_bytes(msgspec.json.encode(routing))
    home.records.append([*QUIET, *LOUD])
    home.records.close()
    return home.folder


def call(capsys: pytest.CaptureFixture[str], *given: str) -> tuple[int, Any]:
    code = run(["watch", *given, "--format", "json", "--quiet"])
    return code, json.loads(capsys.readouterr().out)


def test_a_replay_finds_the_same_bit_for_bit(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = state / "records"
    code, first = call(capsys, "replay", str(log), "--state", str(state))
    assert code == 1
    assert first["records"] == 600
    assert first["found"]["HB-D001"] >= 1
    assert call(capsys, "replay", str(log), "--state", str(state))[1] == first
    one = ["replay", str(log), "--state", str(state), "--monitor", "drift"]
    assert call(capsys, *one)[1]["found"] == {}
    one[-1] = "attack"
    assert call(capsys, *one)[1]["kind"]["kind"] == "attack"


def test_a_tenant_whose_usual_traffic_was_measured_is_no_campaign(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = [msgspec.structs.replace(r, fingerprint="ab" * 16, tenant="video") for r in QUIET]
    log = tmp_path / "still.jsonl"
    log.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in still))
    given = ["replay", str(log), "--state", str(state), "--monitor", "campaign"]
    assert call(capsys, *given)[1]["found"]["HB-D007"] >= 1
    assert call(capsys, *given, "--usual", str(log))[1]["found"] == {}


def test_an_unknown_monitor_is_named_and_a_damaged_log_too(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["watch", "replay", str(state / "records"), "--state", str(state)]
    assert run([*given, "--monitor", "drifft"]) == 2
    assert "did you mean 'drift'" in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text("{}\n")
    assert run(["watch", "replay", str(tmp_path / "bad.jsonl"), "--state", str(state)]) == 2
    assert "line 1" in capsys.readouterr().err


def test_a_watch_goes_on_where_it_ended_and_tells_by_events(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events.jsonl"
    given = ["--once", "--state", str(state), "--events", str(events)]
    assert call(capsys, *given)[0] == 1
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert {one["specversion"] for one in told} == {"1.0"}
    assert "org.hauberk.evidence.hb-d001" in {one["type"] for one in told}
    code, again = call(capsys, *given)
    assert again["records"] == 600  # nothing anew
    assert len(events.read_text().splitlines()) == len(told)
    assert code == 1


def test_a_replica_that_resumes_ends_as_one_that_never_stopped() -> None:
    whole = Station(monitors=monitors(CALIBRATION))
    first, second = (Station(monitors=monitors(CALIBRATION)) for _ in range(2))
    for r in (*QUIET, *LOUD):
        whole.fold(r)
    for r in (*QUIET, *LOUD[:40]):
        first.fold(r)
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.state())))
    for r in (*QUIET[-5:], *LOUD):
        second.fold(r)
    assert second.mark == whole.mark
    assert second.found == whole.found


def test_webhooks_get_the_event_and_a_dead_one_is_told() -> None:
    got: list[tuple[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.headers["content-type"], json.loads(body)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    made = event(
        Evidence(rule="HB-D001", subject=DIGEST, verdict=Verdict.FAIL, message="m"),
        source="/hauberk/m",
        at=1.0,
    )
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        Webhook(f"http://127.0.0.1:{server.server_port}/x").send([made])
        thread.join()
        port = server.server_port
    assert got[0][0].startswith("application/cloudevents+json")
    assert got[0][1] == made
    with pytest.raises(EnvironmentFault, match="not delivered"):
        Webhook(f"http://127.0.0.1:{port}/x?key=secret").send([made])
    with pytest.raises(UserError):
        Webhook("ftp://x")


def test_a_torn_event_is_dropped_before_the_next(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "e.jsonl")
    sink.send([{"id": "1"}])
    with sink.path.open("ab") as file:
        file.write(b'{"id": "to')
    sink.send([{"id": "2"}])
    assert [json.loads(line)["id"] for line in sink.path.read_text().splitlines()] == ["1", "2"]


def test_metrics_are_those_that_the_alert_rules_ask_for() -> None:
    import re
    from pathlib import Path

    import yaml
    from prometheus_client import generate_latest

    metrics, station = Metrics(), Station(monitors=monitors(CALIBRATION))
    for r in (*QUIET, *LOUD):
        station.fold(r)
    metrics.show(station)
    metrics.show(station)
    text = generate_latest(metrics.registry).decode()
    assert "hauberk_watch_records_total 600.0" in text
    rules = Path(__file__).parents[3] / "deploy" / "prometheus" / "detection.rules.yaml"
    for group in yaml.safe_load(rules.read_text())["groups"]:
        for rule in group["rules"]:
            for name in re.findall(r"hauberk_watch_\w+", rule["expr"]):
                assert f"# TYPE {name.removesuffix('_total')}" in text, name
            assert rule["annotations"]["summary"]


def test_a_stream_that_repeats_itself_is_told_unless_that_is_known(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = [msgspec.structs.replace(r, fingerprint="ab" * 16, tenant="video") for r in QUIET]
    log = tmp_path / "still.jsonl"
    log.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in still))
    given = ["watch", "replay", str(log), "--state", str(state), "--monitor", "faults"]
    run(given)
    assert "of 'video' are like one shortly before" in capsys.readouterr().err
    run([*given, "--usual", str(log)])
    assert "like one shortly before" not in capsys.readouterr().err


def test_a_client_that_was_told_what_a_copy_takes_is_found(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    from hauberk.adapters.local.budget_file import keep
    from hauberk.monitor.budget import Budget

    rng = np.random.default_rng(0)
    asked = [
        msgspec.structs.replace(r, fingerprint=rng.bytes(16).hex(), tenant="a", principal="m")
        for r in QUIET
    ]
    log = tmp_path / "asked.jsonl"
    log.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in asked))
    given = ["replay", str(log), "--state", str(state), "--monitor", "budget"]
    assert call(capsys, *given)[1]["found"] == {}, "nothing is known of this model"
    keep(state, Budget(digest=DIGEST, queries=200))
    assert call(capsys, *given)[1]["found"] == {"HB-D014": 2}
    assert call(capsys, *given, "--usual", str(log))[1]["found"] == {}
    keep(state, Budget(digest="sha256:another", queries=200))
    assert call(capsys, *given)[1]["found"] == {}, "a budget is one model's"
