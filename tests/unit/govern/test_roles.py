"""Roles, tasks and the separation of duties."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hauberk.core.errors import ConfigError, HauberkError
from hauberk.core.evidence import Verdict
from hauberk.govern.roles import Governance, read_governance, shipped
from hauberk.govern.roles_duty import Act, separation
from hauberk.govern.roles_training import training

ANN, ANN2, BEA, CYD = (f"sha256:{letter * 64}" for letter in "abcd")
PEOPLE = f"""
[[person]]
name = "Ann"
roles = ["data-scientist", "evaluator"]
keys = ["{ANN}", "{ANN2}"]

[[person]]
name = "Bea"
roles = ["security-engineer"]
keys = ["{BEA}"]
"""
TRAINED = Act("train", ANN)


def house() -> Governance:
    return read_governance(PEOPLE.encode())


def judged(*acts: Act) -> tuple[Verdict, str]:
    found = separation(acts, house(), subject="m")
    return found.verdict, found.message


@pytest.mark.parametrize(
    ("acts", "verdict", "told"),
    [
        ([TRAINED, Act("approve", BEA)], Verdict.PASS, "someone else"),
        ([TRAINED, Act("approve", ANN)], Verdict.FAIL, "key aaaaaaaaaaaa signed for train"),
        ([TRAINED, Act("approve", ANN2)], Verdict.FAIL, "Ann signed for train and for approve"),
        ([TRAINED, Act("approve", BEA), Act("approve", ANN2)], Verdict.FAIL, "Ann signed"),
        ([TRAINED, Act("approve", CYD)], Verdict.UNKNOWN, "nobody's"),
        ([Act("train", CYD), Act("approve", CYD)], Verdict.FAIL, "key dddddddddddd"),
        ([Act("approve", BEA)], Verdict.UNKNOWN, "nobody signed for train"),
        ([TRAINED], Verdict.UNKNOWN, "nobody signed for approve"),
        ([], Verdict.UNKNOWN, "nobody signed for train"),
        ([Act("train", BEA), Act("approve", ANN)], Verdict.FAIL, "Bea has no role that does train"),
        (
            [TRAINED, Act("approve", BEA), Act("evaluate-independently", ANN2)],
            Verdict.FAIL,
            "evaluate-independently",
        ),
    ],
)
def test_separation(acts: list[Act], verdict: Verdict, told: str) -> None:
    found = judged(*acts)
    assert found[0] is verdict, found
    assert told in found[1]


def test_a_shared_key_is_an_error() -> None:
    with pytest.raises(ConfigError, match="share a key"):
        read_governance(PEOPLE.replace(BEA, ANN2).encode())


def test_what_ships() -> None:
    found = shipped()
    assert len(found.roles) == 8
    assert set(found.pillars) == {
        "people",
        "technology",
        "processes",
        "governance",
        "compliance",
    }
    assert {task.stage for task in found.task} == set(found.stages)
    lanes = found.lanes()
    assert [letters for _, letters in lanes["operator"]["operations"]] == ["R", "R", "I"]
    assert sum(len(cell) for lane in lanes.values() for cell in lane.values()) > len(found.task)
    assert found.person == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[person]]\nname = "A"\nroles = ["ownr"]', "ownr"),
        ('[[person]]\nname = "A"\nroles = []\nkyes = []', "kyes"),
        ('[[person]]\nname = "A"\nroles = []\nkeys = ["x"]', "not a digest"),
        ('apart = [["train", "aprove"]]', "aprove"),
        ('[roles]\nboss = "b"', "role"),
        (
            '[[task]]\nid = "t"\ntitle = "t"\nstage = "data"\npillar = "people"\n'
            'raci = { R = ["owner"], A = ["owner", "auditor"] }',
            "one role that answers",
        ),
        (
            '[[task]]\nid = "t"\ntitle = "t"\nstage = "data"\npillar = "people"\n'
            'rules = ["HB-X999"]\nraci = { R = ["owner"], A = ["owner"] }',
            "HB-X999",
        ),
    ],
)
def test_a_wrong_file(text: str, told: str) -> None:
    with pytest.raises(HauberkError, match=told) as failure:
        read_governance(text.encode())
    assert failure.value.exit_code == 2


def test_roles_can_be_edited() -> None:
    tasks = '[[task]]\nid = "t"\ntitle = "t"\nstage = "data"\npillar = "people"\n'
    text = f'apart = []\n[roles]\nboss = "all"\n{tasks}raci = {{ R = ["boss"], A = ["boss"] }}\n'
    found = read_governance(text.encode())
    assert list(found.roles) == ["boss"]
    assert [letters for _, letters in found.lanes()["boss"]["data"]] == ["RA"]


NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("ann", "bea", "days", "verdict", "value"),
    [
        ("2026-10-01", "2026-11-25", 365, Verdict.PASS, 0.0),
        ("2025-11-25", "2026-11-25", 365, Verdict.PASS, 0.0),
        ("2025-11-24", "2026-11-25", 365, Verdict.FAIL, 1.0),
        ("2026-10-01", "2026-11-26", 365, Verdict.FAIL, 1.0),
        ("2026-10-01", "2026-11-25", 30, Verdict.FAIL, 1.0),
        ("2026-10-01", None, 365, Verdict.FAIL, 1.0),
    ],
)
def test_training(ann: str, bea: str | None, days: int, verdict: Verdict, value: float) -> None:
    text = f"trained_days = {days}\n" + PEOPLE.replace(
        f'keys = ["{ANN}", "{ANN2}"]', f'keys = ["{ANN}", "{ANN2}"]\ntrained = {ann}'
    )
    found = training(
        read_governance((text + (f"trained = {bea}\n" if bea else "")).encode()),
        subject="m",
        at=NOON,
    )
    assert (found.verdict, found.value) == (verdict, value)


def test_training_of_nobody_is_unknown() -> None:
    assert training(shipped(), subject="m", at=NOON).verdict is Verdict.UNKNOWN
