"""``hauberk evaluate`` killed at half, with its processes, and started again: the same figure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save
from hauberk.faces.cli.main import run

SHAPE = {"in_shape": [1, 28, 28], "classes": 10}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    file = tmp_path / "model.safetensors"
    module = build("mlp", SHAPE)
    file.write_bytes(save(TorchModel(module=module, architecture=Architecture("mlp", SHAPE))))
    return file


def _words(model: Path, state: str, *, workers: int = 1) -> list[str]:
    out = str(model.parent / f"{state}.json")
    flags = f"--data digits --threat linf:0.05 --attacks fgsm,square --workers {workers} --quiet"
    places = ["--state", str(model.parent / state), "--format", "json", "-o", out]
    return ["evaluate", str(model), *flags.split(), *places]


def _figures(model: Path, state: str) -> list[tuple[str, Any, Any]]:
    found = json.loads((model.parent / f"{state}.json").read_text())
    return [(one["rule"], one["value"], one["spec"]) for one in found]


def _children(parent: int) -> list[int]:
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(one) for one in listed.split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see processes")
def test_killed_at_half(model: Path) -> None:
    run(_words(model, "whole"))
    command = [sys.executable, "-m", "hauberk", *_words(model, "killed", workers=2)]
    running = subprocess.Popen(command)
    kept = model.parent / "killed" / "evaluations"
    until = time.monotonic() + 200
    while not list(kept.glob("*/*.shard")):
        assert time.monotonic() < until, "no shard was ever kept"
        assert running.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    workers = _children(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a process outlived its parent"
        time.sleep(0.05)
    assert list(kept.glob("*/*.shard"))
    run(_words(model, "killed"))
    assert _figures(model, "killed") == _figures(model, "whole")
    assert not list(kept.glob("*/*.shard")), "what is told is no longer kept"
