"""The Ray engine passes the suite of engines; a killed shard leaves the figure as it is."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hauberk.adapters.local.evaluation import Plan, carried_out
from hauberk.adapters.local.kept_shards import KeptShards
from hauberk.adapters.local.pool import Inline
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save
from hauberk.adapters.ray.engine import Ray
from hauberk.core.digest import digest_file
from hauberk.evaluate.run import Run
from hauberk.evaluate.sequential import Stop
from hauberk.testing.executor_checks import executor_checks

ray = pytest.importorskip("ray", reason="needs the ray extra")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.core.ports import Executor
    from hauberk.testing.executor_checks import Check

pytestmark = [pytest.mark.kubeflow, pytest.mark.filterwarnings("ignore")]  # of Ray's own


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize("check", executor_checks().values(), ids=executor_checks())
def test_engine(check: Check, tmp_path: Path) -> None:
    check(Ray(workers=2), tmp_path)


SHAPE = {"in_shape": [1, 28, 28], "classes": 10}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    file.write_bytes(save(TorchModel(build("mlp", SHAPE), architecture=Architecture("mlp", SHAPE))))
    return Plan(
        model=str(file),
        digest=digest_file(file),
        data="digits",
        norm="linf",
        eps=0.05,
        radii=(0.02, 0.05),
        attacks=("fgsm", "square"),
        samples=60,
    )


def figures(plan: Plan, engine: Executor, folder: Path, *, shard: int) -> dict[str, Any]:
    kept, stop = KeptShards.of(plan.work(), folder), Stop(shard=shard)
    result, left_out = carried_out(plan, engine, kept, stop=stop, run=Run())
    assert left_out == 0
    found = {one.name: one.correct.tolist() for one in result.attacks}
    return {**found, "clean": result.clean.tolist()}


def killed_worker(stop: threading.Event, killed: list[int]) -> None:
    """Kill the first worker that is seen at a shard, as the kernel would."""
    while not stop.is_set() and not killed:
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if b"ray::_do" in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    killed.append(int(entry.name))
                    break
        stop.wait(0.005)


def test_a_killed_shard_leaves_the_figure_as_it_is(plan: Plan, tmp_path: Path) -> None:
    whole = figures(plan, Inline(), tmp_path / "inline", shard=60)
    stop, killed = threading.Event(), list[int]()
    killer = threading.Thread(target=killed_worker, args=(stop, killed))
    killer.start()
    try:
        found = figures(plan, Ray(workers=2), tmp_path / "ray", shard=15)
    finally:
        stop.set()
        killer.join()
    assert killed, "no worker was caught at work"
    assert found == whole
