from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.trainer import MAX_STARTS, ProcessTrainer, process_began
from hauberk.core.errors import EnvironmentFault, UserError
from hauberk.core.ports import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOB = Job(id="incident-1-harden", kind="harden", incident="incident-1", inputs={"primary": "x"})

# What the child does is told by a file beside the jobs, so that the next start may differ.
CHILD = """
import json, os, sys, time
from pathlib import Path
job = Path(sys.argv[1])
with (job / "pids").open("a") as file:
    file.write(f"{os.getpid()} {os.getsid(0)}\\n")
print("hello", file=sys.stderr)
while True:
    todo = (job.parent / "todo").read_text()
    if todo == "finish":
        (job / "draft").write_text(json.dumps({"candidate": "sha256:1"}))
        (job / "draft").rename(job / "result.json")
        break
    if todo == "fail":
        (job / "error.json").write_text(json.dumps({"message": "diverged"}))
        break
    if todo == "die":
        os._exit(1)
    time.sleep(0.01)
"""


def wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "todo").write_text("wait")
    yield tmp_path
    (tmp_path / "todo").write_text("die")
    wait(lambda: not any(alive(pid) for pid in started(tmp_path)))


@pytest.fixture
def trainer(jobs: Path) -> ProcessTrainer:
    return ProcessTrainer(jobs, [sys.executable, "-S", "-c", CHILD])


def started(jobs: Path) -> list[int]:
    path = jobs / JOB.id / "pids"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def state_of(trainer: ProcessTrainer) -> str:
    status = trainer.status(JOB.id)
    assert status is not None
    return status.state


def start(trainer: ProcessTrainer, jobs: Path, times: int = 1) -> int:
    trainer.submit(JOB)
    wait(lambda: len(started(jobs)) == times)
    return started(jobs)[-1]


def test_a_job_runs_to_its_result(trainer: ProcessTrainer, jobs: Path) -> None:
    assert trainer.status(JOB.id) is None
    start(trainer, jobs)
    assert state_of(trainer) == "running"
    assert json.loads((jobs / JOB.id / "job.json").read_text())["kind"] == "harden"
    (jobs / "todo").write_text("finish")
    wait(lambda: state_of(trainer) == "done")
    status = trainer.status(JOB.id)
    assert status is not None
    assert status.result == {"candidate": "sha256:1"}
    trainer.submit(JOB)
    assert json.loads((jobs / JOB.id / "starts.json").read_text())["count"] == 1
    assert (jobs / JOB.id / "log.txt").read_text() == "hello\n"


def test_a_failure_stays_one(trainer: ProcessTrainer, jobs: Path) -> None:
    start(trainer, jobs)
    (jobs / "todo").write_text("fail")
    wait(lambda: state_of(trainer) == "failed")
    trainer.submit(JOB)
    status = ProcessTrainer(jobs, ["other"]).status(JOB.id)
    assert status is not None
    assert (status.state, status.message) == ("failed", "diverged")
    assert json.loads((jobs / JOB.id / "starts.json").read_text())["count"] == 1


def test_submitting_twice_is_submitting_once(trainer: ProcessTrainer, jobs: Path) -> None:
    start(trainer, jobs)
    other = ProcessTrainer(jobs, [sys.executable, "-S", "-c", CHILD])
    for one in (trainer, other, trainer):
        one.submit(JOB)
        assert state_of(one) == "running"
    time.sleep(0.1)
    assert len(started(jobs)) == 1


SUBMIT = """
import sys
from pathlib import Path
import msgspec
from hauberk.adapters.local.trainer import ProcessTrainer
from hauberk.core.ports import Job
job = msgspec.json.decode(sys.argv[2], type=Job)
ProcessTrainer(Path(sys.argv[1]), [sys.executable, "-S", "-c", sys.argv[3]]).submit(job)
"""


def test_many_controllers_start_one_child_which_outlives_them(jobs: Path) -> None:
    text = json.dumps(
        {"id": JOB.id, "kind": JOB.kind, "incident": JOB.incident, "inputs": JOB.inputs}
    )
    controllers = [
        subprocess.Popen([sys.executable, "-c", SUBMIT, str(jobs), text, CHILD]) for _ in range(4)
    ]
    assert [one.wait(60) for one in controllers] == [0] * 4
    wait(lambda: len(started(jobs)) >= 1)
    time.sleep(0.1)
    [pid] = started(jobs)
    assert alive(pid)
    line = (jobs / JOB.id / "pids").read_text().split()
    assert line[0] == line[1]  # a session of its own: a terminal's Ctrl-C does not reach it
    assert state_of(ProcessTrainer(jobs, ["other"])) == "running"


def test_a_killed_child_is_resumed_by_the_next_submit(trainer: ProcessTrainer, jobs: Path) -> None:
    os.kill(start(trainer, jobs), signal.SIGKILL)
    wait(lambda: trainer.status(JOB.id).message != "")  # type: ignore[union-attr]
    assert state_of(trainer) == "running"
    assert len(started(jobs)) == 1
    start(trainer, jobs, times=2)
    (jobs / "todo").write_text("finish")
    wait(lambda: state_of(trainer) == "done")


def test_a_child_that_always_dies_is_given_up(trainer: ProcessTrainer, jobs: Path) -> None:
    for times in range(1, MAX_STARTS + 1):
        pid = start(trainer, jobs, times=times)
        os.kill(pid, signal.SIGKILL)
        wait(lambda pid=pid: not alive(pid))  # type: ignore[misc]
    assert state_of(trainer) == "failed"
    trainer.submit(JOB)
    time.sleep(0.1)
    assert len(started(jobs)) == MAX_STARTS
    assert state_of(trainer) == "failed"


def test_another_process_with_the_old_pid_is_not_mistaken(
    trainer: ProcessTrainer, jobs: Path
) -> None:
    """The pid that was noted is alive, but it is ours, not the child's."""
    os.kill(start(trainer, jobs), signal.SIGKILL)
    (jobs / JOB.id / "starts.json").write_text(json.dumps({"count": 1, "pid": os.getpid()}))
    wait(lambda: trainer.status(JOB.id).message != "")  # type: ignore[union-attr]
    start(trainer, jobs, times=2)


def test_the_pid_is_noted_with_its_beginning(trainer: ProcessTrainer, jobs: Path) -> None:
    pid = start(trainer, jobs)
    noted = json.loads((jobs / JOB.id / "starts.json").read_text())
    assert noted == {"count": 1, "pid": pid, "began": process_began(pid)}
    assert process_began(2**22 + 1) is None


@pytest.mark.parametrize("text", ["", "[]", "junk", '{"count":"x"}'])
def test_altered_counts_start_nothing(trainer: ProcessTrainer, jobs: Path, text: str) -> None:
    (jobs / JOB.id).mkdir()
    (jobs / JOB.id / "starts.json").write_text(text)
    trainer.submit(JOB)
    assert state_of(trainer) == "failed"


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_a_result_that_cannot_be_read_is_a_failure(
    trainer: ProcessTrainer, jobs: Path, text: str
) -> None:
    start(trainer, jobs)
    (jobs / JOB.id / "result.json").write_text(text)
    assert state_of(trainer) == "failed"


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a b", "x" * 81, "a\n", "é"])
def test_odd_ids_are_refused(trainer: ProcessTrainer, name: str) -> None:
    with pytest.raises(UserError, match="not a job id"):
        trainer.submit(Job(id=name, kind="harden", incident="i", inputs={}))
    with pytest.raises(UserError, match="not a job id"):
        trainer.status(name)


def test_an_id_belongs_to_one_job(trainer: ProcessTrainer, jobs: Path) -> None:
    start(trainer, jobs)
    with pytest.raises(UserError, match="another job"):
        trainer.submit(Job(id=JOB.id, kind="judge", incident="i", inputs={}))


@pytest.mark.parametrize("command", [[], ["/does/not/exist"]])
def test_a_program_that_is_not_there_is_told(jobs: Path, command: list[str]) -> None:
    with pytest.raises(EnvironmentFault, match="no program"):
        ProcessTrainer(jobs, command).submit(JOB)
