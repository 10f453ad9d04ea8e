"""Waivers and policy files: what may be let go, how old evidence may be."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from hauberk.core.errors import HauberkError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.govern.formats import render
from hauberk.govern.policy import DAY, Policy, Requirement
from hauberk.govern.policy_file import read_policy
from hauberk.govern.rows import findings, of_decision
from hauberk.govern.waivers import expired, find_waiver, read_waivers

MODEL = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64
TEXT = f"""
[[waiver]]
rule = "HB-E002"
subject = "{MODEL}"
owner = "Bea"
reason = "new data comes on Monday"
created = 2026-11-01
expires = 2026-12-01
"""
START = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
END = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
POLICY = Policy(requirements=(Requirement("HB-E002", 0.9, 10 * DAY),))


def measured(value: float) -> Evidence:
    verdict = Verdict.PASS if value >= 0.9 else Verdict.FAIL
    return Evidence(rule="HB-E002", subject=MODEL, verdict=verdict, message="", value=value)


@pytest.mark.parametrize(
    ("rule", "subject", "at", "holds"),
    [
        ("HB-E002", MODEL, START, True),
        ("HB-E002", MODEL, END - 1e-3, True),
        ("HB-E002", MODEL, END, False),
        ("HB-E002", MODEL, START - 1e-3, False),
        ("HB-E001", MODEL, START, False),
        ("HB-E002", OTHER, START, False),
    ],
)
def test_a_waiver_holds_for_one_rule_one_subject_and_a_time(
    rule: str, subject: str, at: float, holds: bool
) -> None:
    waivers = read_waivers(TEXT.encode())
    assert (find_waiver(waivers, rule, subject, at) is not None) == holds
    assert bool(expired(waivers, at)) == (at >= END)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("HB-E002", "HB-E999", "HB-E999"),
        (MODEL, "*", "not a digest"),
        ('owner = "Bea"', 'owner = ""', "length"),
        ('owner = "Bea"', 'owner = "  "', "needs an owner"),
        ('reason = "new data comes on Monday"', "", "reason"),
        ("expires = 2026-12-01", "expires = 2027-12-01", "1…180 days"),
        ("expires = 2026-12-01", "expires = 2026-11-01", "1…180 days"),
        ("expires = 2026-12-01", 'expires = "never"', "expires"),
        ("expires", "expire", "unknown key"),
        ("[[waiver]]", "[[waivers]]", "unknown key"),
    ],
)
def test_a_wrong_waiver_is_an_error(old: str, new: str, told: str) -> None:
    with pytest.raises(HauberkError, match=told) as failure:
        read_waivers(TEXT.replace(old, new, 1).encode())
    assert failure.value.exit_code == 2


@pytest.mark.parametrize(
    ("value", "age", "verdict", "told"),
    [
        (0.95, 9, Verdict.PASS, ""),
        (0.95, 10, Verdict.PASS, ""),
        (0.95, 10.1, Verdict.UNKNOWN, "10.1 days old, at most 10"),
        (0.95, -1, Verdict.UNKNOWN, "from the future"),
        (0.5, 11, Verdict.FAIL, "11 days old"),
    ],
)
def test_age(value: float, age: float, verdict: Verdict, told: str) -> None:
    found = POLICY.decide([measured(value)], times=[END - age * DAY], at=END)
    assert found.verdict is verdict
    assert told in found.rows[0].message


def test_evidence_without_a_time_is_not_fresh() -> None:
    assert POLICY.decide([measured(1.0)], at=END).verdict is Verdict.UNKNOWN
    with pytest.raises(HauberkError, match="2 times for 1"):
        POLICY.decide([measured(1.0)], times=[0.0, 1.0], at=END)


def test_a_waived_row_is_shown_as_such_everywhere() -> None:
    waivers = read_waivers(TEXT.encode())
    found = POLICY.decide([measured(0.5)], times=[START], at=START, waivers=waivers)
    assert found.allowed
    assert found.rows[0].verdict is Verdict.FAIL, "its verdict stays what it is"
    assert found.summary == "allowed: 1 waived"
    assert "Bea" in found.body()["rows"][0]["waiver"]
    found.raise_if_denied()
    shown = of_decision(found)
    assert findings(shown) == 0
    assert "waived" in render(shown, "table")
    junit = render(shown, "junit")
    assert "<skipped" in junit
    assert 'failures="0" errors="0"' in junit
    run = json.loads(render(shown, "sarif"))["runs"][0]
    assert run["invocations"][0]["executionSuccessful"]
    assert "Bea" in run["results"][0]["suppressions"][0]["justification"]


def test_a_waiver_does_not_touch_other_rules() -> None:
    policy = Policy(requirements=(Requirement("HB-E002", 0.9), Requirement("HB-E003", 0.1)))
    waivers = read_waivers(TEXT.encode())
    assert not policy.decide([measured(0.5)], at=START, waivers=waivers).allowed


def test_a_policy_file() -> None:
    text = (
        'eps = 0.1\nmax_age_days = 30\nowner = "ml"\n[[rule]]\ncode = "HB-E001"\nlimit = 0.3\n'
        '[[rule]]\ncode = "HB-S002"\nmax_age_days = 1\nowner = "sec"\n[[rule]]\ncode = "HB-E007"\n'
    )
    found = read_policy(text.encode())
    assert found.eps == 0.1
    assert found.requirements == (
        Requirement("HB-E001", 0.3, 30 * DAY, "ml"),
        Requirement("HB-S002", None, DAY, "sec"),
        Requirement("HB-E007", 1e-3, 30 * DAY, "ml"),
    )
    changes = [("0.3", "0.31"), ("30\n", "31\n"), ('"sec"', '"you"'), ("0.1", "0.2"), ("", "")]
    digests = {read_policy(text.replace(*change).encode()).digest for change in changes}
    assert len(digests) == 5, "limit, age, owner and radius are all frozen"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty policy"),
        ('[[rule]]\ncode = "HB-E01"', "HB-E01"),
        ('[[rule]]\ncode = "HB-E001"\nlimt = 1', "limt"),
        ('[[rule]]\ncode = "HB-S001"\nlimit = 1.0', "no limit"),
        ('[[rule]]\ncode = "HB-D001"', "needs a finite limit"),
        ('[[rule]]\ncode = "HB-E001"\nmax_age_days = 0', "max_age_days"),
        ('[[rule]]\ncode = "HB-E001"\n[[rule]]\ncode = "HB-E001"', "required twice"),
        ("rule = 3", "rule"),
        ("x" * (1 << 20) + "xx", "larger than"),
    ],
)
def test_a_wrong_policy_file(text: str, told: str) -> None:
    with pytest.raises(HauberkError, match=told) as failure:
        read_policy(text.encode())
    assert failure.value.exit_code == 2
