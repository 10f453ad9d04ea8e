"""Jobs in processes of their own, which outlive the process that started them."""

from __future__ import annotations

import os
import re
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.local.files import (
    faults,
    locked,
    make_folder,
    read_file,
    take_lock,
    write_file,
)
from hauberk.core.errors import EnvironmentFault, UserError
from hauberk.core.ports import Job, JobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_STARTS = 3
_ID = re.compile(r"[a-z0-9-]{1,80}\Z")
_MAX_FILE = 1 << 20
_LOCK_SLOT = 9  # the descriptor under which the child holds its lock


class Starts(msgspec.Struct, frozen=True, kw_only=True):
    """How often a job was started, and its last process; ``began`` tells a recycled pid apart."""

    count: int = 0
    pid: int | None = None
    began: int | None = None


class ProcessTrainer:
    """A :class:`hauberk.core.ports.Trainer` that runs ``command jobs/<id>``.

    The child reads ``job.json`` there and ends with ``result.json`` or, having failed for good,
    ``error.json`` (``{"message": ...}``). It inherits a lock that the system frees when it dies,
    however it dies: so whether it runs is never guessed from a pid. A child that died without
    either file is started again by the next :meth:`submit`, to go on from its checkpoint, at most
    :data:`MAX_STARTS` times in all. Its output goes to ``log.txt``.
    """

    def __init__(self, jobs: Path, command: Sequence[str]) -> None:
        self._jobs, self._command = jobs, tuple(command)
        self._children: set[int] = set()

    def submit(self, job: Job) -> None:
        """Start the job, resume it, or leave it running, done or failed as it is.

        Raises:
            UserError: if the id is malformed, or belongs to another job.
            EnvironmentFault: if the process cannot be started.
        """
        folder = folder_of(self._jobs, job.id)
        make_folder(folder)
        with locked(folder / "submit.lock"):
            kept(folder, job)
            starts = _starts(folder)
            # The lock first, as in `status`: who ends between the two looks has left a result.
            if _running(folder) or finished(folder) or starts.count >= MAX_STARTS:
                return
            # Counted before it starts: a machine that dies with each start is not restarted on.
            write_file(folder / "starts.json", msgspec.json.encode(Starts(count=starts.count + 1)))
            pid = self._start(folder)
            self._children.add(pid)
            began = Starts(count=starts.count + 1, pid=pid, began=process_began(pid))
            write_file(folder / "starts.json", msgspec.json.encode(began))

    def status(self, job_id: str) -> JobStatus | None:
        """How far a job is; None if it was never submitted.

        A job whose process died reads ``running`` while the next :meth:`submit` may restart it.
        """
        folder = folder_of(self._jobs, job_id)
        self._reap()
        if not (folder / "job.json").is_file():
            return None
        with locked(folder / "submit.lock"):
            # The lock first: a child that ends between the two looks has left its file by then.
            running = _running(folder)
            if ended := finished(folder):
                return ended
            if running:
                return JobStatus(state="running")
            count = _starts(folder).count
        if count >= MAX_STARTS:
            return JobStatus(
                state="failed",
                message=f"died {count} times without a result; see {folder / 'log.txt'}",
            )
        return JobStatus(state="running", message="stopped; submit it again to resume it")

    def _start(self, folder: Path) -> int:
        """Start the child in a session of its own, with nothing of ours but its lock."""
        program = shutil.which(self._command[0]) if self._command else None
        if program is None:
            raise EnvironmentFault("no program to run jobs with", where=str(self._command[:1]))
        lock = take_lock(folder / "run.lock")
        if lock is None:
            raise EnvironmentFault("another process runs this job", where=str(folder))
        try:
            log = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            with faults(folder):
                return os.posix_spawn(
                    program,
                    [*self._command, str(folder)],
                    os.environ,
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, lock, _LOCK_SLOT),
                        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 1, str(folder / "log.txt"), log, 0o600),
                        (os.POSIX_SPAWN_DUP2, 1, 2),
                    ],
                    setsid=True,
                    setsigmask=(),
                    setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores both
                )
        finally:
            os.close(lock)

    def _reap(self) -> None:
        """Take the exit status of children of ours that ended, so that none stays a zombie."""
        for pid in tuple(self._children):
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            if ended:
                self._children.discard(pid)


def process_began(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if there is none of that number."""
    with suppress(OSError, ValueError, IndexError):
        # The name in parentheses may hold blanks and parentheses: read on after the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19])
    return None


def _running(folder: Path) -> bool:
    """Whether a child holds the lock; asked only under ``submit.lock``."""
    lock = take_lock(folder / "run.lock")
    if lock is None:
        return True
    os.close(lock)
    return False


def folder_of(jobs: Path, job_id: str) -> Path:
    """The folder of a job.

    Raises:
        UserError: if the id is malformed.
    """
    if not _ID.match(job_id):
        raise UserError(f"not a job id: {job_id[:80]!r}", hint="a-z, 0-9 and '-', at most 80")
    return jobs / job_id


def kept(folder: Path, job: Job) -> None:
    """Write down what the job is, once.

    Raises:
        UserError: if another job has its id.
    """
    text = msgspec.json.encode(job)
    make_folder(folder)
    before = read_file(folder / "job.json", limit=_MAX_FILE)
    if before is None:
        write_file(folder / "job.json", text)
    elif before != text:
        raise UserError("another job has this id", where=str(folder))


def known(folder: Path) -> Job | None:
    """The job of a folder; None if none was written down."""
    data = read_file(folder / "job.json", limit=_MAX_FILE)
    try:
        return msgspec.json.decode(data, type=Job) if data else None
    except (msgspec.DecodeError, RecursionError):
        return None


def finished(folder: Path) -> JobStatus | None:
    """How a job ended, by the file that it left; None while there is none."""
    if (error := read_file(folder / "error.json", limit=_MAX_FILE)) is not None:
        return JobStatus(state="failed", message=str(_parse(error).get("message", "no reason")))
    if (result := read_file(folder / "result.json", limit=_MAX_FILE)) is None:
        return None
    if not (values := _parse(result)):
        return JobStatus(state="failed", message=f"unreadable {folder / 'result.json'}")
    return JobStatus(state="done", result=values)


def _starts(folder: Path) -> Starts:
    data = read_file(folder / "starts.json", limit=_MAX_FILE)
    if data is None:
        return Starts()
    try:
        return msgspec.json.decode(data, type=Starts)
    except (msgspec.DecodeError, RecursionError):
        return Starts(count=MAX_STARTS)  # altered: rather no start than starts without end


def _parse(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
