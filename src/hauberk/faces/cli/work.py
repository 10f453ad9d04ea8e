"""``hauberk work JOB``: carry out one job of the loop; started by the controller, not by people."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hauberk.core.errors import DataError, HauberkError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.core.spec import Spec
    from hauberk.harden.progress import Progress
    from hauberk.harden.run import Run

_MAX_JOB = 1 << 16
_MAX_CHECKPOINT = 1 << 31


@click.command(hidden=True)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.spec()
@options.state
def command(*, folder: Path, spec: Spec, state: Path) -> int:
    """Carry out the job in FOLDER: job.json in; result.json, or error.json, out.

    Killed at any time, the same command goes on from the last checkpoint.
    """
    import msgspec

    from hauberk.adapters.local.files import read_file, write_file
    from hauberk.adapters.local.home import Home
    from hauberk.core.ports import Job

    text = read_file(folder / "job.json", limit=_MAX_JOB)
    try:
        job = msgspec.json.decode(text or b"", type=Job)
    except msgspec.DecodeError as error:
        raise DataError(f"not a job: {error}", where=str(folder / "job.json")) from None
    try:
        result = _work(job, folder, spec, Home(state))
    except HauberkError as error:
        write_file(folder / "error.json", msgspec.json.encode({"message": str(error)}))
        raise
    write_file(folder / "result.json", msgspec.json.encode(result))
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    return 0


def _work(job: Any, folder: Path, spec: Spec, home: Any) -> dict[str, Any]:
    from hauberk.adapters.local import work
    from hauberk.adapters.local.setup import shop_of

    shop = shop_of(home, spec)
    began = time.monotonic()
    if job.kind == "judge":
        result = work.judge(shop, job)
    else:
        step = work.harden if job.kind == "harden" else work.pair
        result = step(shop, job, run=kept_in(folder))
    return {**result, "seconds": time.monotonic() - began}


def kept_in(folder: Path) -> Run:
    """A training that keeps its checkpoint and its progress in a folder, and goes on from there."""
    import msgspec

    from hauberk.adapters.local.files import read_file, write_file
    from hauberk.harden.run import Run

    def tell(progress: Progress) -> None:
        with (folder / "progress.jsonl").open("ab") as log:
            log.write(msgspec.json.encode({"at": time.time(), **vars(progress)}) + b"\n")

    return Run(
        checkpoint=lambda data: write_file(folder / "checkpoint.npz", data),
        resume=read_file(folder / "checkpoint.npz", limit=_MAX_CHECKPOINT),
        progress=tell,
        clock=time.monotonic,
    )
