"""The pipeline on this machine: kfp's local runner in a process of its own, our journal beside it.

The runner is global to its process and keeps no record of runs. So it gets a process, and whether
a step was done is asked of the journal: the same incident again does what is left of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hauberk.adapters.local.files import make_folder
from hauberk.core.errors import EnvironmentFault, HauberkError
from hauberk.faces.pipelines.pipeline import Build, kfp_part
from hauberk.faces.pipelines.steps import GATE, STEPS

if TYPE_CHECKING:
    from hauberk.faces.pipelines.order import Facts, Order

_LAST = 400


def run(order: Order) -> Facts:
    """Carry out an order; one that was carried out before is not run again.

    Returns the facts after the last step, with ``denied`` set where the gate denied. The output of
    the steps is in ``pipelines/INCIDENT.log`` of the state directory.

    Raises:
        ConfigError: if kfp is not installed, or no service was set up.
        EnvironmentFault: if a step failed; the same order again goes on from there.
    """
    order.check()
    finished = _finished(order)
    if finished is not None:
        return finished
    kfp_part("local")
    folder = Path(order.state) / "pipelines"
    make_folder(folder)
    path = folder / f"{order.incident}.log"
    words = {name: getattr(order, name) for name in order.__struct_fields__}
    with path.open("ab") as log, tempfile.TemporaryDirectory(prefix="hauberk-pipeline-") as root:
        command = [sys.executable, "-m", __name__, root]
        process = subprocess.run(
            command,
            input=json.dumps(words).encode(),
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    finished = _finished(order)
    if finished is None:
        raise EnvironmentFault(
            f"{_next(order)} failed (exit code {process.returncode}): {_why(path)}",
            where=str(path),
            hint="the same command goes on from there",
        )
    return finished


def _finished(order: Order) -> Facts | None:
    done = order.done()
    if GATE in done and done[GATE].facts["denied"]:
        return done[GATE].facts
    last = done.get(list(STEPS)[-1])
    return last.facts if last else None


def _next(order: Order) -> str:
    done = order.done()
    return next((name for name in STEPS if name not in done), "the run")


def _why(path: Path) -> str:
    """The last error that a step printed."""
    lines = path.read_bytes()[-65536:].decode(errors="replace").splitlines()
    told = [line for line in lines if line.startswith("hauberk.core.errors.")]
    return (told[-1].partition(": ")[2] if told else "see the log")[:_LAST]


def main(root: str) -> int:
    """Run the order on standard input below a folder for kfp's own files."""
    from kfp import local  # noqa: PLC0415 - of an extra

    words = json.loads(sys.stdin.buffer.read())
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner, pipeline_root=root, raise_on_error=True, enable_caching=False)
    try:
        Build(retries=0)()(**words)
    except (RuntimeError, HauberkError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - into the log
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
