"""The pipeline run by kfp here: what the local loop gives, once per incident, killed or not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from hauberk.adapters.local.home import Home
from hauberk.core.spec import write_spec
from hauberk.testing.service import SMALL, prepare, replica

pytest.importorskip("kfp", reason="needs the kubeflow extra")

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kubeflow
INCIDENT = "inc-1"


@pytest.fixture(scope="module", autouse=True)
def one_thread_each() -> Any:
    """Figures are the same on any number of threads only where that number is the same."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "state"
    prepare(folder)
    return folder


def command(folder: Path, *, incident: str = INCIDENT, spec: Any = SMALL) -> list[str]:
    config = folder.parent / f"{folder.name}.toml"
    config.write_text(write_spec(spec))
    words = f"-m hauberk pipeline run --local --incident {incident} --format json --quiet"
    return [sys.executable, *words.split(), "--config", str(config), "--state", str(folder)]


def run(folder: Path, **given: Any) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(command(folder, **given), capture_output=True, check=False, timeout=280)
    return done.returncode, json.loads(done.stdout or b'{"none": true}')


def steps(folder: Path, incident: str = INCIDENT) -> list[str]:
    return [json.loads(one)["step"] for one in Home(folder).journal.read(f"pipeline:{incident}")]


@pytest.fixture(scope="module")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One undisturbed run, and what it told."""
    folder = tmp_path_factory.mktemp("whole") / "state"
    shutil.copytree(prepared, folder)
    code, facts = run(folder)
    assert (code, facts["denied"]) == (0, ""), facts
    return folder, facts


def test_the_decision_and_the_model_are_those_of_the_local_loop(
    whole: tuple[Path, dict[str, Any]], prepared: Path, tmp_path: Path
) -> None:
    with replica(prepared, tmp_path / "state") as service:
        service.start_gateway()
        service.start_controller()
        service.alarm("the first")
        turn = service.reach("canary", "halted")
        incident = turn.state.incident
        assert (turn.state.phase, incident is not None) == ("canary", True)
        assert incident is not None
        assert incident.candidate is not None
        entries = service.home.ledger.entries(kind="decision", subject=incident.candidate)
    told = whole[1]
    assert told["candidate"] == incident.candidate
    judged = next(one.body for one in entries if "figures" not in one.body)
    assert (
        (told["verdict"], told["policy"]) == (judged["verdict"], judged["policy"]) != (None, None)
    )


def test_what_a_run_leaves_behind(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = whole
    home = Home(folder)
    assert home.ledger.verify() > 0
    assert home.trust.verified(facts["candidate"]).is_file()
    routing = home.ledger.entries(kind="deployment")[-1].body
    assert (routing["canary"], routing["incident"]) == (facts["candidate"], INCIDENT)
    assert routing["canary_share"] == SMALL.loop.canary_share
    assert steps(folder) == ["prepare", "harden", "evaluate", "gate", "sign", "register", "deploy"]


def test_the_same_incident_again_does_nothing(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = whole
    home, log = Home(folder), folder / "pipelines" / f"{INCIDENT}.log"
    before = home.ledger.verify(), log.stat().st_size, len(steps(folder))
    assert run(folder) == (0, facts)
    assert (home.ledger.verify(), log.stat().st_size, len(steps(folder))) == before
    other = replace(SMALL, harden=replace(SMALL.harden, steps=2))
    code, _ = run(folder, spec=other)
    assert code == 2, "the same incident with other settings is refused"


@pytest.mark.parametrize("everything", [True, False], ids=["with its steps", "alone"])
def test_killed_in_the_middle_it_finishes(
    everything: bool, whole: tuple[Path, dict[str, Any]], prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    shutil.copytree(prepared, folder)
    running = subprocess.Popen(
        command(folder),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoint = folder / "jobs" / f"{INCIDENT}-harden" / "checkpoint.npz"
    deadline = time.monotonic() + 200
    while not checkpoint.exists():
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.02)
    if everything:
        os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()  # its step goes on by itself, and is waited for
    running.wait()
    assert "harden" not in steps(folder)
    code, facts = run(folder)
    assert code == 0
    assert facts["candidate"] == whole[1]["candidate"]
    assert steps(folder) == ["prepare", "harden", "evaluate", "gate", "sign", "register", "deploy"]


def test_a_denial_fails_the_run_with_its_reasons(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    shutil.copytree(prepared, folder)
    strict = replace(
        SMALL,
        gate=replace(SMALL.gate, robust_accuracy=0.99, samples=40),
        harden=replace(SMALL.harden, epochs=1),
    )
    code, facts = run(folder, spec=strict)
    assert code == 1
    assert "HB-E001 fail" in facts["denied"]
    assert steps(folder) == ["prepare", "harden", "evaluate", "gate"]
    home = Home(folder)
    assert not any(entry.body.get("canary") for entry in home.ledger.entries(kind="deployment"))
    before = home.ledger.verify()
    assert run(folder, spec=strict) == (1, facts)
    assert home.ledger.verify() == before
    log = (folder / "pipelines" / f"{INCIDENT}.log").read_text()
    assert "Denied" in log, "the failed task says why"
