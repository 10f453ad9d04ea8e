"""The command line starts at once and imports only what a verb needs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("torch", "onnx", "onnxruntime", "sklearn", "scipy", "uvicorn", "httpx", "rich")


def python(code: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("HAUBERK_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=environ,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["rule"], ["rule", "HB-E001"], ["config"], ["init"], ["nope"]],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(args: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from hauberk.faces.cli.main import run\n"
        f"run({args!r})\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = python(code, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stdout + done.stderr


def test_help_of_every_listed_verb_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from hauberk.faces.cli.main import run, cli\n"
        "names = cli.list_commands(None)\n"
        "assert len(names) >= 3\n"
        "for name in names: assert run([name, '--help']) == 0, name\n"
        "print('TORCH', 'torch' in sys.modules)"
    )
    done = python(code, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "TORCH False", done.stdout + done.stderr


def test_help_takes_less_than_400_ms(tmp_path: Path) -> None:
    """The best of five, since the machine may be busy."""
    spans = []
    for _ in range(5):
        start = time.perf_counter()
        done = python("from hauberk.faces.cli.main import run; run(['--help'])", cwd=tmp_path)
        spans.append(time.perf_counter() - start)
        assert "Commands:" in done.stdout
    assert min(spans) < 0.4, spans


def test_the_module_runs_as_the_script_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hauberk", "rule", "HB-X999"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: unknown rule 'HB-X999'\nhint: ")


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hauberk", "rule"],
            cwd=tmp_path,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as sink:
        done = subprocess.run(
            [sys.executable, "-m", "hauberk", "rule"],
            cwd=tmp_path,
            stdout=sink,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: disk full\nhint: free some space and repeat the command\n"


def test_a_terminal_without_the_letters_gets_a_question_mark(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "hauberk", "rule", "ε"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"error: unknown rule" in done.stderr
