"""``hauberk work JOB``: carry out one job of the loop; started by the controller, not by people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hauberk.core.errors import DataError, HauberkError
from hauberk.faces.cli import options

if TYPE_CHECKING:
    from hauberk.core.spec import Spec

_MAX_JOB = 1 << 16


@click.command(hidden=True)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.spec()
@options.state
def command(*, folder: Path, spec: Spec, state: Path) -> int:
    """Carry out the job in FOLDER: job.json in; result.json, or error.json, out.

    Killed at any time, the same command goes on from the last checkpoint.
    """
    import msgspec

    from hauberk.adapters.local import torchrun
    from hauberk.adapters.local.files import read_file, write_file
    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.jobs import do_job, forget
    from hauberk.core.ports import Job

    text = read_file(folder / "job.json", limit=_MAX_JOB)
    try:
        job = msgspec.json.decode(text or b"", type=Job)
    except msgspec.DecodeError as error:
        raise DataError(f"not a job: {error}", where=str(folder / "job.json")) from None
    if job.kind != "judge" and spec.harden.processes > 1 and not torchrun.launched():
        torchrun.become(spec.harden.processes)
    if torchrun.launched() and (folder / "error.json").exists():
        return 2  # it failed for good, and is not to be trained again
    try:
        with torchrun.team() as team:
            result = do_job(job, folder, spec, Home(state), team)
            if not team.leads:
                return 0
    except HauberkError as error:
        write_file(folder / "error.json", msgspec.json.encode({"message": str(error)}))
        raise
    write_file(folder / "result.json", msgspec.json.encode(result))
    forget(folder)
    return 0
