"""``hauberk vet``: outputs, exit codes, folders, and files that cannot be opened."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hauberk.adapters.local.disk_source import opened
from hauberk.core.errors import UserError
from hauberk.faces.cli.main import run
from hauberk.testing.vet_pieces import call, pickled
from hauberk.testing.vet_wrappings import wrapped

CLEAN, BAD = pickled(b"N"), pickled(call("os", "system"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "clean.pkl").write_bytes(CLEAN)
    (tmp_path / "a" / "odd.bin").write_bytes(bytes(range(1, 30)))
    (tmp_path / "bad.pkl").write_bytes(BAD)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_folder_is_walked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vet", "--format", "json", str(folder)]) == 1
    found = {Path(one["path"]).name: one for one in told(capsys)["files"]}
    assert {name: one["verdict"] for name, one in found.items()} == {
        "bad.pkl": "malicious",
        "clean.pkl": "clean",
        "odd.bin": "review",
    }
    assert found["odd.bin"]["coverage"] == "partial"
    assert found["clean.pkl"] == {
        "path": str(folder / "a" / "clean.pkl"),
        "kind": "pickle",
        "verdict": "clean",
        "coverage": "full",
        "findings": [],
    }
    (finding,) = found["bad.pkl"]["findings"]
    assert (finding["rule"], finding["severity"]) == ("HB-V001", "critical")


@pytest.mark.parametrize("form", ["table", "json", "sarif", "junit", "md"])
def test_exit_codes_in_every_format(
    folder: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["vet", "--format", form, str(folder / "a" / "clean.pkl")]) == 0
    assert "FAIL" not in capsys.readouterr().out
    assert run(["vet", "--format", form, str(folder / "bad.pkl")]) == 1
    out = capsys.readouterr().out
    assert "HB-V001" in out
    if form == "sarif":
        assert json.loads(out)["runs"][0]["results"][0]["level"] == "error"


def test_a_missing_file_is_an_error_of_the_user(tmp_path: Path) -> None:
    assert run(["vet", str(tmp_path / "none.pkl")]) == 2
    assert run(["vet", str(tmp_path)]) == 2


def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert run(["vet", "--format", "json", str(tmp_path / "pipe")]) == 1
    assert told(capsys)["files"][0]["coverage"] == "partial"
    with pytest.raises(UserError), opened(tmp_path / "pipe"):
        pass


def test_names_come_from_stdin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{folder / 'a' / 'clean.pkl'}\n"))
    assert run(["vet", "-"]) == 0


def test_names_of_files_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a\x1b[2Jb.pkl").write_bytes(BAD)
    run(["vet", str(tmp_path)])
    assert "\x1b" not in capsys.readouterr().out


def test_little_is_imported() -> None:
    code = (
        "import sys, hauberk.faces.cli.vet; "
        "print(sorted({'torch', 'numpy', 'onnx', 'sklearn', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_runs_and_nothing_is_written(tmp_path: Path) -> None:
    """Every payload is vetted in a process that ends at the first sign of execution."""
    for sample in wrapped():
        (tmp_path / sample.name).write_bytes(sample.data)
    code = """
import os, sys
from hauberk.faces.cli.main import run
def watch(event, args):
    if event in {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect",
                 "pickle.find_class", "os.rename", "os.remove", "os.mkdir", "os.symlink"}:
        os._exit(77)
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        os._exit(78)
sys.addaudithook(watch)
sys.exit(run(["vet", "--format", "json", sys.argv[1]]))
"""
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert {one["verdict"] for one in json.loads(done.stdout)["files"]} <= {"malicious", "review"}
    assert sorted(tmp_path.rglob("*")) == before
