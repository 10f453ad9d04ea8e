from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from hauberk.adapters.local.home import Home
from hauberk.adapters.local.reviews import Line, Reviews
from hauberk.core.errors import DataError, UserError
from hauberk.faces.cli.main import run
from hauberk.faces.gateway.quarantine import Quarantine
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [
    msgspec.structs.replace(r, seq=r.seq + 1, outcome="flag" if r.label else "pass")
    for r in toy_records(80, calibration=toy_calibration(), attacked=0.5)
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    Home.create(tmp_path / "state")
    keeper = Quarantine(tmp_path / "state" / "quarantine")
    for r in RECORDS:
        keeper.keep(r, np.full((1, 28, 28), r.seq / 100, dtype=np.float32))
    return tmp_path / "state"


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def label(state: Path, case: str, truth: int, by: str, *more: str) -> int:
    given = ["label", case, str(truth), "--by", by, "--state", str(state), "--format", "json"]
    return run(["review", *given, *more])


def test_two_people_confirm_and_one_alone_cannot(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [str(r.seq) for r in RECORDS if r.outcome == "flag"][:25]
    for case in cases:
        assert label(state, case, 7, "ada") == 0
    assert json.loads(capsys.readouterr().out.split("}\n")[-2] + "}")["outcome"] == "open"
    assert [label(state, case, 7, "bo") for case in cases][-1] == 1  # findings
    capsys.readouterr()
    assert run(["review", "status", "--state", str(state), "--format", "json"]) == 1
    facts = told(capsys)
    assert (facts["outcome"], facts["settled"], facts["agreement"]) == ("confirmed", 25, None)


def test_the_queue_lists_strange_and_random_cases(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["review", "queue", "--count", "8", "--state", str(state), "--format", "json"]
    assert run(given) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["why"] for row in rows] == ["suspect", "random"] * 4
    assert run(given) == 0
    assert json.loads(capsys.readouterr().out) == rows  # the same for every reviewer


def test_a_case_is_shown_in_characters(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["review", "show", "1", "--state", str(state)]) == 0
    assert "client 'client 0'" in capsys.readouterr().out
    assert run(["review", "show", "999", "--state", str(state)]) == 2
    assert "hint" in capsys.readouterr().err


def test_a_negative_class_is_refused(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["review", "label", "--state", str(state), "--by", "a", "--", "1", "-2"]
    assert run(given) == 2
    assert "class" in capsys.readouterr().err


def test_a_damaged_case_is_passed_over_and_a_damaged_vote_is_not(state: Path) -> None:
    reviews = Reviews(state)
    (state / "quarantine" / "000000000001.npz").write_bytes(b"\x80\x04N.")
    assert len(reviews.kept()) == len(RECORDS) - 1
    with pytest.raises(DataError):
        reviews.input("1")
    with pytest.raises(UserError):
        reviews.input("../1")
    line = Line(at=0.0, incident="i", case="2", reviewer="a", label=1, served=0, stratum="random")
    reviews.add(line)
    reviews.add(msgspec.structs.replace(line, incident="j"))
    assert reviews.lines("i") == [line]
    with (state / "labels.jsonl").open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(DataError, match="line 3"):
        reviews.lines("i")
