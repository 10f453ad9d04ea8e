"""Every numbered example runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARGUMENTS = {"01-measure-and-harden.py": ("1", "12")}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("[0-9]*.py")), ids=lambda p: p.name
)
def test_example_runs(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path), *ARGUMENTS.get(path.name, ())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
