"""What every engine that does shards must hold; for authors of engines too.

::

    @pytest.mark.parametrize("check", executor_checks().values(), ids=executor_checks())
    def test_my_engine(check, tmp_path):
        check(MyEngine(workers=2), tmp_path)

An engine that runs in the caller's process leaves out the checks that kill one:
``executor_checks(own_process=True)``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hauberk.core.errors import DataError, EnvironmentFault, HauberkError
from hauberk.core.ports import Executor, Shard, Work
from hauberk.core.sharding import cut

Check = Callable[[Executor, Path], None]
_HERE = "hauberk.testing.executor_checks"


def executor_checks(*, own_process: bool = False) -> dict[str, Check]:
    """The suite: a name to a check of an engine, with an empty folder for its use."""
    suite: dict[str, Check] = {
        "each shard once": _each_once,
        "nothing to do": _nothing,
        "an error keeps its kind": _kind_kept,
        "another exception is ours": _other_exception,
        "closing ends it": _closed,
    }
    if not own_process:
        suite["a dead process is replaced"] = _replaced
        suite["a deadly shard is given up"] = _given_up
    return suite


def adding(spec: dict[str, Any]) -> Callable[[Shard], bytes]:
    """The sum of ``spec["base"]`` and the samples' numbers."""
    return lambda shard: str(spec["base"] + sum(range(shard.start, shard.stop))).encode()


def refusing(spec: dict[str, Any]) -> Callable[[Shard], bytes]:
    """Raises a DataError with a place and a hint at the shard that begins at ``spec["at"]``."""

    def do(shard: Shard) -> bytes:
        if shard.start == spec["at"]:
            raise DataError("a bad sample", where="row 7", hint="leave it out")
        return b""

    return do


def breaking(spec: dict[str, Any]) -> Callable[[Shard], bytes]:
    """Cannot even be opened."""
    raise ZeroDivisionError(spec["text"])


def dying(spec: dict[str, Any]) -> Callable[[Shard], bytes]:
    """Kills its own process at the shard that begins at ``spec["at"]``, ``spec["times"]`` times."""

    def do(shard: Shard) -> bytes:
        folder = Path(spec["folder"])
        deaths = len(list(folder.iterdir()))
        if shard.start == spec["at"] and deaths < spec["times"]:
            (folder / f"death-{deaths}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return str(shard.start).encode()

    return do


def _each_once(engine: Executor, folder: Path) -> None:
    shards = cut(25, 4)
    found = list(engine.run(Work(opener=f"{_HERE}:adding", spec={"base": 100}), shards))
    expected = {one: str(100 + sum(range(one.start, one.stop))).encode() for one in shards}
    assert sorted(shard for shard, _ in found) == shards
    assert dict(found) == expected


def _nothing(engine: Executor, folder: Path) -> None:
    assert list(engine.run(Work(opener=f"{_HERE}:adding", spec={"base": 0}), [])) == []


def _kind_kept(engine: Executor, folder: Path) -> None:
    error = _raised(engine, Work(opener=f"{_HERE}:refusing", spec={"at": 4}))
    assert isinstance(error, DataError)
    assert (error.what, error.where, error.hint) == ("a bad sample", "row 7", "leave it out")


def _other_exception(engine: Executor, folder: Path) -> None:
    error = _raised(engine, Work(opener=f"{_HERE}:breaking", spec={"text": "nothing left"}))
    assert "nothing left" in str(error)


def _raised(engine: Executor, work: Work) -> Exception:
    try:
        list(engine.run(work, cut(12, 4)))
    except (HauberkError, ZeroDivisionError) as error:
        return error
    raise AssertionError("the work's error was swallowed")


def _closed(engine: Executor, folder: Path) -> None:
    running = engine.run(Work(opener=f"{_HERE}:adding", spec={"base": 0}), cut(1000, 1))
    next(running)
    running.close()  # type: ignore[attr-defined]  # engines are generators
    assert next(running, None) is None


def _replaced(engine: Executor, folder: Path) -> None:
    spec = {"folder": str(folder), "at": 2, "times": 1}
    found = dict(engine.run(Work(opener=f"{_HERE}:dying", spec=spec), cut(6, 1)))
    assert found == {Shard(k, k + 1): str(k).encode() for k in range(6)}
    assert len(list(folder.iterdir())) == 1


def _given_up(engine: Executor, folder: Path) -> None:
    spec = {"folder": str(folder), "at": 1, "times": 100}
    try:
        list(engine.run(Work(opener=f"{_HERE}:dying", spec=spec), cut(3, 1)))
    except EnvironmentFault:
        return
    raise AssertionError("a shard that kills every process was never given up")
