"""``hauberk harden`` killed by SIGKILL in mid-training: the same command ends in the same model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENVIRON = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def command(folder: Path) -> list[str]:
    settings = ["model.architecture=mlp", "harden.steps=2", "harden.epochs=14"]
    return [
        *(sys.executable, "-m", "hauberk", "harden", "--data", "digits", "--seed", "5"),
        *("--with", "ema,adversarial,awp", "--to", str(folder / "m.safetensors")),
        *("--samples", "1", "--quiet", "--format", "json", "-o", str(folder / "out.json")),
        *(part for one in settings for part in ("--set", one)),
    ]


def finished(folder: Path) -> dict[str, Any]:
    done = subprocess.run(command(folder), env=ENVIRON, check=False, capture_output=True)
    assert done.returncode in {0, 1}, done.stderr.decode()
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


def test_killed_it_goes_on_to_the_same_digest(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    process = subprocess.Popen(command(cut), env=ENVIRON, stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while not list(cut.glob("*.checkpoint")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert process.stderr is not None
    process.stderr.close()
    assert not (cut / "m.safetensors").exists()

    resumed, uninterrupted = finished(cut), finished(whole)
    assert resumed["resumed"]
    assert not uninterrupted["resumed"]
    for key in ("weights_digest", "onnx_digest", "int8_digest"):
        assert resumed[key] == uninterrupted[key]
    assert not list(cut.glob("*.checkpoint"))
