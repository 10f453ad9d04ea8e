"""Output: result apart from progress, whole files, and nothing that looks clean unproven."""

import json
from pathlib import Path

import pytest

from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.faces.cli import progress
from hauberk.faces.cli.main import run
from hauberk.faces.cli.output import Output, colour
from hauberk.faces.cli.progress import Lines
from hauberk.govern.decision import Decision, Row


def evidence(rule: str, verdict: Verdict, value: float | None, limit: float) -> Evidence:
    return Evidence(rule=rule, subject="m", verdict=verdict, message="", value=value, limit=limit)


PASS = evidence("HB-E002", Verdict.PASS, 0.97, 0.9)
FAIL = evidence("HB-E001", Verdict.FAIL, 0.1, 0.4)
NOT_RUN = evidence("HB-E007", Verdict.UNKNOWN, None, 1e-3)


@pytest.mark.parametrize(
    ("found", "code"),
    [([PASS], 0), ([PASS, FAIL], 1), ([PASS, NOT_RUN], 1), ([], 1)],
    ids=["all passed", "one failed", "one not run", "nothing"],
)
def test_only_all_passed_is_clean(
    found: list[Evidence], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Output().evidence(found) == code
    out, err = capsys.readouterr()
    assert "RULE" in out
    assert ("passed" in err) == (PASS in found)
    assert "\x1b" not in out


def test_quiet_leaves_only_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.say("words")
    with output.progress("work", 3) as advance:
        advance(1)
    assert output.evidence([PASS]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "HB-E002" in out


def test_a_file_is_written_whole_and_stdout_stays_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "deep" / "out.json"
    Output(form="json", path=place).evidence([FAIL])
    assert json.loads(place.read_text())[0]["rule"] == "HB-E001"
    assert capsys.readouterr().out == ""
    assert [p.name for p in place.parent.iterdir()] == ["out.json"]


def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    assert run(["rule", "-o", "file/out.txt"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_listing_has_three_forms(capsys: pytest.CaptureFixture[str]) -> None:
    head, rows = ("name", "digest"), [["a|b", "1"], ["c", "2"]]
    Output().listing(head, rows)
    assert capsys.readouterr().out == "  NAME  DIGEST\n  a|b   1\n  c     2\n"
    Output(form="json").listing(head, rows)
    assert json.loads(capsys.readouterr().out)[0] == {"name": "a|b", "digest": "1"}
    Output(form="md").listing(head, rows)
    assert "| a\\|b | 1 |" in capsys.readouterr().out
    with pytest.raises(UserError):
        Output(form="sarif").listing(head, rows)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_decision_is_its_exit_code(allowed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict.PASS if allowed else Verdict.UNKNOWN
    row = Row(
        rule="HB-E002",
        claim="c",
        verdict=verdict,
        measured=0.95 if allowed else None,
        limit=0.9,
        sense="at-least",
    )
    decision = Decision(subject="s", verdict=verdict, rows=(row,), policy="p", evidence=(), at=0.0)
    assert Output().decision(decision, heading="m.onnx") == (0 if allowed else 1)
    out, err = capsys.readouterr()
    assert ("NOT RUN" in out) == (not allowed)
    assert ("hint:" in err) == (not allowed)
    Output(form="json").decision(decision)
    assert json.loads(capsys.readouterr().out)["verdict"] == str(verdict)


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colour(Terminal())


def test_a_terminal_gets_colours_and_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hauberk.faces.cli.output.colour", lambda stream: True)
    monkeypatch.setenv("TERM", "xterm")
    painted = Output()._coloured("  HB-E001  x  FAIL\n  HB-E002  x  pass")
    assert "\x1b[31m\x1b[1mFAIL" in painted
    assert "\x1b[32mpass" in painted
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.shown("evil [red]label", 4, quiet=False) as advance:
        advance(2)
        advance(4, 4)
    assert capsys.readouterr().out == ""


def test_plain_lines_come_seldom_and_say_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 6.0, 7.0, 20.0])
    lines = Lines(label="pgd", total=100, clock=lambda: next(times))
    for done in (10, 60, 70):
        lines(done)
    lines.end()
    assert capsys.readouterr().err.splitlines() == [
        "pgd 60/100 60% 4 s left",
        "pgd done in 20.0 s",
    ]


def test_no_progress_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with Output().progress("work", 2):
            raise ValueError("broke")

    with pytest.raises(ValueError, match="broke"):
        work()
    assert "done" not in capsys.readouterr().err
