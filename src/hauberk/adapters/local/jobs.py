"""One job of the loop, carried out in this process, with its checkpoint in a folder."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.local import work
from hauberk.adapters.local.files import read_file, write_file
from hauberk.adapters.local.setup import shop_of
from hauberk.harden.distributed import Team
from hauberk.harden.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.local.home import Home
    from hauberk.core.ports import Job
    from hauberk.core.spec import Spec
    from hauberk.harden.progress import Progress

_MAX_CHECKPOINT = 1 << 31
_CHECKPOINT = "checkpoint.npz"


def do_job(
    job: Job,
    folder: Path,
    spec: Spec,
    home: Home,
    team: Team = Team(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """The result of a job; killed at any time, the same call goes on from the checkpoint.

    Each process of a team calls it; of those that do not lead, the result is empty.

    Raises:
        HauberkError: if it failed for good.
    """
    shop = shop_of(home, spec)
    began = time.monotonic()
    if job.kind == "judge":
        result = work.judge(shop, job)
    else:
        run = replace(kept_in(folder), team=team)
        if not team.leads:
            train = work.hardened if job.kind == "harden" else work.twinned
            train(shop, job, run)
            return {}
        step = work.harden if job.kind == "harden" else work.pair
        result = step(shop, job, run=run)
    return {**result, "seconds": time.monotonic() - began}


def forget(folder: Path) -> None:
    """Remove the checkpoint of a job that is done."""
    (folder / _CHECKPOINT).unlink(missing_ok=True)


def kept_in(folder: Path) -> Run:
    """A training that keeps its checkpoint and its progress in a folder, and goes on from there."""

    def tell(progress: Progress) -> None:
        with (folder / "progress.jsonl").open("ab") as log:
            log.write(msgspec.json.encode({"at": time.time(), **vars(progress)}) + b"\n")

    return Run(
        checkpoint=lambda data: write_file(folder / _CHECKPOINT, data),
        resume=read_file(folder / _CHECKPOINT, limit=_MAX_CHECKPOINT),
        progress=tell,
        clock=time.monotonic,
    )
