"""Every failure is one line, a hint and an exit code; a traceback only if asked for."""

import errno
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

from hauberk.core import errors
from hauberk.faces.cli import main
from hauberk.faces.cli.failures import explain, tell

RAISED: list[tuple[BaseException, int, str]] = [
    (errors.HauberkError("broke"), 3, "error: broke"),
    (errors.ConfigError("bad", where="hauberk.toml"), 2, "error: hauberk.toml: bad"),
    (errors.Denied("no"), 1, "error: no"),
    (errors.Untrusted("altered", where="m.onnx"), 1, "error: m.onnx: altered"),
    (OSError(errno.ENOSPC, "No space left", "x"), 2, "error: x: disk full"),
    (PermissionError(errno.EACCES, "Permission denied", "k"), 2, "error: k: permission denied"),
    (MemoryError(), 2, "error: out of memory"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (ZeroDivisionError("by zero"), 3, "internal error: ZeroDivisionError: by zero at "),
    (EOFError("early"), 3, "internal error: RuntimeError: a file ended early: early at "),
    (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), 2, "error: a name or a value is not"),
]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A verb ``fails`` whose command raises what the test puts into ``raised``."""
    module = ModuleType("fails")
    module.__dict__["raised"] = None

    @click.command()
    def command() -> int:
        error = module.__dict__["raised"]
        if isinstance(error, BaseException):
            raise error
        return 1

    module.__dict__["command"] = command
    monkeypatch.setitem(main.VERBS, "fails", "Fail.")
    monkeypatch.setattr(main, "find_spec", lambda name: True)
    monkeypatch.setattr(
        main, "import_module", lambda n: module if n.endswith(".fails") else import_module(n)
    )
    return module


@pytest.mark.parametrize(("error", "code", "start"), RAISED, ids=lambda x: type(x).__name__)
def test_errors_end_in_one_line_and_their_code(
    error: BaseException,
    code: int,
    start: str,
    verb: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    verb.__dict__["raised"] = error
    assert main.run(["fails"]) == code
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line]
    assert out == ""
    assert lines[0].startswith(start)
    assert len(lines) <= 2
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert "Traceback" not in err


def test_a_commands_number_is_the_exit_code(verb: ModuleType) -> None:
    assert main.run(["fails"]) == 1
    assert main.run(["--help"]) == 0


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(ValueError("x"), {"HAUBERK_DEBUG": "1"}) == 3
    assert "ValueError: x" in capsys.readouterr().err
    assert tell(ValueError("x"), {}) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_a_message_cannot_steer_the_terminal() -> None:
    lines = explain(errors.UserError("a\x1b[2J\nb\u202e", where="f\r")).lines
    assert lines == ("error: f : a?[2J b?",)


@pytest.mark.parametrize(
    ("args", "error", "hint"),
    [
        (["cofig"], "error: hauberk: no such command 'cofig'", "did you mean 'config'?"),
        (["zzz"], "error: hauberk: no such command 'zzz'", "`hauberk --help` shows the usage"),
        (["config", "--frm"], "error: hauberk config: no such option '--frm'", "did you mean"),
        (["config", "--format", "x"], "error: hauberk config: invalid value", "`hauberk config"),
        (["rule", "hb-e0001"], "error: unknown rule 'HB-E0001'", "did you mean 'HB-E001'?"),
        (["config", "--set", "x"], "error: --set: cannot read 'x'", "write it as KEY=VALUE"),
        (["config", "--config", "no.toml"], "error: no.toml: no such file", "`hauberk init`"),
        (["init", "no.onnx"], "error: no.onnx: no such file", ""),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_wrong_use_is_exit_2_with_the_next_step(
    args: list[str],
    error: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith(error)
    if hint:
        assert lines[1].startswith(f"hint: {hint}")


@pytest.mark.parametrize("args", [[], ["models"]], ids=["hauberk", "a group"])
def test_no_verb_shows_the_help_and_is_not_clean(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Commands:\n" in err


def test_a_verb_without_its_module_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main.VERBS, "absent", "Not there.")
    context = click.Context(main.cli)
    listed = main.cli.list_commands(context)
    assert "absent" not in listed
    assert {"init", "rule", "config", "report"} <= set(listed)
    assert main.cli.get_command(context, "absent") is None
