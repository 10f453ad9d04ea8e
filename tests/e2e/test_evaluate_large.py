"""A hundred thousand samples: memory stays flat, and a kill at half changes no figure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc for memory"),
]
SHAPE = {"in_shape": [1, 16, 16], "classes": 10}
N = 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, and as many images, labelled by it, all in the test part."""
    folder = tmp_path_factory.mktemp("large")
    torch.manual_seed(0)
    module = build("mlp", SHAPE)
    model = TorchModel(module=module, architecture=Architecture("mlp", SHAPE))
    (folder / "model.safetensors").write_bytes(save(model))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (N, 16, 16), dtype=np.uint8)
    with torch.no_grad():
        inputs = torch.from_numpy(x[:, None]).float() / 255
        y = module.eval()(inputs).argmax(1).numpy().astype(np.int64)
    train = {"x_train": x[:100], "y_train": y[:100]}
    np.savez(folder / "data.npz", **train, x_test=x, y_test=y)
    return folder


def _command(folder: Path, state: str) -> list[str]:
    flags = "--threat linf:2/255 --attacks fgsm,pgd --workers 2 --samples 100000 --quiet"
    places = [
        "--state",
        str(folder / state),
        "--format",
        "json",
        "-o",
        str(folder / f"{state}.json"),
    ]
    data = ["--data", f"npz:{folder / 'data.npz'}"]
    words = ["evaluate", str(folder / "model.safetensors"), *data, *flags.split(), *places]
    return [sys.executable, "-m", "hauberk", *words]


def _resident(pid: int) -> int:
    """Bytes that a process and its children hold."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in (pid, *children)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def _figures(folder: Path, state: str) -> list[tuple[str, Any, Any]]:
    found = json.loads((folder / f"{state}.json").read_text())
    return [(one["rule"], one["value"], one["interval"]) for one in found]


def test_flat_memory_and_the_same_figure_after_a_kill(folder: Path) -> None:
    shards = -(-N // 128)
    killed = subprocess.Popen(_command(folder, "killed"))
    kept, held = folder / "killed" / "evaluations", []
    while (done := len(list(kept.glob("*/*.shard")))) < shards // 2:
        assert killed.poll() is None
        if done > 20:
            held.append(_resident(killed.pid))
        time.sleep(0.5)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    quarter = max(1, len(held) // 4)
    early, late = (float(np.median(part)) for part in (held[:quarter], held[-quarter:]))
    print(f"resident: {early / 2**20:.0f} MiB early, {late / 2**20:.0f} MiB at half")
    assert late < 1.1 * early
    subprocess.run(_command(folder, "killed"), check=False)
    subprocess.run(_command(folder, "whole"), check=False)
    assert _figures(folder, "killed") == _figures(folder, "whole")
    assert next(one["spec"]["n"] for one in json.loads((folder / "whole.json").read_text())) == N
