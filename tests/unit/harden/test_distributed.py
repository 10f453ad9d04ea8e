"""Training by several processes: the same bits in each, whatever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from hauberk.adapters.local.home import Home
from hauberk.adapters.local.setup import shop_of
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.core.spec import DataSpec, HardenSpec, ModelSpec, Spec, write_spec
from hauberk.harden.distributed import Team, weights_digest

SPEC = Spec(
    model=ModelSpec(architecture="mlp"),
    data=DataSpec(source="digits"),
    harden=HardenSpec(epochs=4, steps=2, processes=2),
)
BARE = """
import sys
from pathlib import Path
from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.models.architectures import build
from hauberk.core.threat import ThreatModel
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.distributed import joined, weights_digest
from hauberk.harden.run import Run
data = load_dataset("digits")
module = build(sys.argv[2], {"in_shape": [1, 28, 28], "classes": 10}, seed=0)
method = Adversarial(epochs=2, steps=2, batch_size=96, validation_most=50, validation_steps=2)
with joined() as team:
    fitted = method.fit(
        module, data.split("train").take(list(range(201))), data.split("validation"),
        ThreatModel(eps=0.15), seed=3, run=Run(team=team),
    )
    Path(sys.argv[1], f"rank{team.rank}").write_text(weights_digest(fitted))
"""


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (64, 1), (64, 2), (65, 2), (7, 4), (1, 2)])
def test_the_parts_of_a_batch_make_the_whole(rows: int, size: int) -> None:
    values = torch.randn(rows, dtype=torch.float64)
    parts = [Team(rank=rank, size=size).part(torch.arange(rows)) for rank in range(size)]
    mean = sum(weight * values[part].mean() for part, weight in parts) / size
    assert torch.allclose(torch.as_tensor(mean), values.mean())
    if rows >= size:
        together = torch.cat([part for part, _ in parts])
        assert sorted(together.tolist()) == list(range(rows))


def test_alone_nothing_changes() -> None:
    team, module = Team(), torch.nn.Linear(3, 2)
    generator = torch.Generator().manual_seed(5)
    torch.randn(4, generator=generator)
    before = generator.get_state().clone()
    team.scatter(generator)
    assert torch.equal(before, generator.get_state())
    assert (team.wrapped(module) is module, team.told(b"x"), team.total(1.5)) == (True, b"x", 1.5)
    team.level(module)


def torchrun(*words: str) -> list[str]:
    options = ("--standalone", "--nproc-per-node", "2")
    return [sys.executable, "-m", "torch.distributed.run", *options, *words]


def test_two_processes_end_with_the_same_bits(tmp_path: Path) -> None:
    script = tmp_path / "bare.py"
    script.write_text(BARE)
    done = subprocess.run(
        torchrun(str(script), str(tmp_path), "cnn"),
        capture_output=True,
        check=False,
        timeout=250,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    first, second = ((tmp_path / f"rank{rank}").read_text() for rank in range(2))
    assert first == second
    assert first.startswith("sha256:")


def begun(folder: Path) -> Path:
    """A home with a registered model, and the job to harden it."""
    home = Home.create(folder / "state")
    shop = shop_of(home, SPEC)
    module = shop.fresh(seed=0)
    assert isinstance(TorchModel(module, shop.data.bounds, shop.architecture), TorchModel)
    digest = shop.register(module, role="primary", parent=None, origin={"by": "test"})
    job = folder / "state" / "jobs" / "inc-1-harden"
    job.mkdir(parents=True)
    words: dict[str, Any] = {"id": "inc-1-harden", "kind": "harden", "incident": "inc-1"}
    (job / "job.json").write_text(json.dumps({**words, "inputs": {"primary": digest}, "seed": 2}))
    return job


def work(job: Path, spec: Spec) -> list[str]:
    config = job.parents[2] / "hauberk.toml"
    config.write_text(write_spec(spec))
    places = ["--config", str(config), "--state", str(job.parents[1])]
    return [sys.executable, "-m", "hauberk", "work", str(job), *places]


def ranks(rank: int) -> list[int]:
    """Processes that torchrun started as that rank of a hauberk job."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            line = (entry / "cmdline").read_bytes()
            if b"hauberk\0work" in line and f"\0RANK={rank}\0".encode() in (
                b"\0" + (entry / "environ").read_bytes()
            ):
                found.append(int(entry.name))
    return found


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", [1, 0])
def test_a_killed_rank_is_started_again_from_the_checkpoint(victim: int, tmp_path: Path) -> None:
    spec = replace(SPEC, harden=replace(SPEC.harden, epochs=40))
    results = []
    for name in ("whole", "killed"):
        job = begun(tmp_path / name)
        with (job / "log.txt").open("wb") as log:
            running = subprocess.Popen(work(job, spec), stdout=log, stderr=log)
        if name == "killed":
            deadline = time.monotonic() + 200
            while not (job / "checkpoint.npz").exists():
                assert running.poll() is None, (job / "log.txt").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.02)
            [pid] = ranks(victim)
            os.kill(pid, signal.SIGKILL)
        assert running.wait(280) == 0, (job / "log.txt").read_text()[-2000:]
        told = (job / "progress.jsonl").read_text()
        epochs = [json.loads(one)["epoch"] for one in told.splitlines()]
        assert epochs[-1] == 40
        results.append(json.loads((job / "result.json").read_text())["candidate"])
        if name == "killed":
            assert len(epochs) < 60, "it began from the checkpoint, not anew"
    assert results[0] == results[1]
    assert weights_digest(torch.nn.Linear(1, 1)).startswith("sha256:")
