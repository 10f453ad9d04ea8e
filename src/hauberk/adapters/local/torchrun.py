"""Several processes for one training, started and restarted by torchrun."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from hauberk.harden.distributed import Team, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

RESTARTS = 3
"""How often the processes are started again when one of them dies."""
_LOOK = 0.5  # seconds between looks whether torchrun still lives


def launched() -> bool:
    """Whether torchrun started this process: here, or the node agent of a TrainJob."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def become(processes: int) -> NoReturn:
    """Become torchrun, which runs this very command line in ``processes`` processes.

    The number of this process and the lock that it inherited stay.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    options = ("--standalone", "--nproc-per-node", str(processes), "--max-restarts", str(RESTARTS))
    words = (sys.executable, "-m", "torch.distributed.run", *options, "-m", "hauberk")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    os.execve(sys.executable, (*words, *sys.argv[1:]), environment)  # noqa: S606 - as it is


@contextmanager
def team() -> Iterator[Team]:
    """The team of this process; without torchrun it is alone.

    Raises:
        HauberkError: if the others cannot be found.
    """
    if not launched():
        yield Team()
        return
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with joined() as found:
        yield found


def _end_with(parent: int) -> None:
    """End with torchrun: one that is left alone would write beside its successor."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)
