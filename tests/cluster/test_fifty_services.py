"""Fifty services at once: all shielded, each attacked service trained once."""

import os
import statistics
import time

import pytest

from hauberk.adapters.kubernetes.kinds import SHIELD, TRAIN_JOB
from hauberk.testing.kube.stage import Stage

pytestmark = pytest.mark.cluster
COUNT = 50
ATTACKED = 10


def test_fifty_services(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"model-{number:02d}" for number in range(COUNT)]
    for name in names:
        stage.set_up(name)
    stage.operator.start()
    stage.wait("it leads", lambda: any(one["event"] == "leading" for one in stage.operator.lines()))
    made: dict[str, float] = {}
    for name in names:
        stage.service(name)
        made[name] = time.monotonic()
        stage.shield(name)
    done: dict[str, float] = {}

    def all_serve() -> bool:
        for tree in stage.cluster.list(SHIELD):
            if (tree.get("status") or {}).get("phase") == "serving":
                done.setdefault(tree["metadata"]["name"], time.monotonic())
        return len(done) == COUNT

    stage.wait("all are shielded", all_serve, seconds=240, pause=0.02)
    waits = sorted(done[name] - made[name] for name in names)
    rounds = [one["seconds"] for one in stage.operator.lines() if one["event"] == "taken up"]
    for name in names[:ATTACKED]:
        stage.attack(name, stage.status(name)["servingDigest"])
    for name in names[:ATTACKED]:
        stage.reach(name, "hardening")
    stage.wait("a job for each", lambda: len(stage.cluster.list(TRAIN_JOB)) >= ATTACKED)
    time.sleep(2.0)
    jobs = stage.cluster.list(TRAIN_JOB)
    assert len({job["metadata"]["name"] for job in jobs}) == len(jobs) == ATTACKED
    with capsys.disabled():
        print(
            f"\n{COUNT} services at once: reconcile p50 {statistics.median(waits):.3f} s, "
            f"p95 {waits[int(0.95 * COUNT)]:.3f} s from creation to shielded; "
            f"first round p50 {statistics.median(rounds) * 1000:.0f} ms "
            f"(all of it on {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f})"
        )
