from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.interval import wilson
from hauberk.monitor.agreement import AgreementMonitor
from hauberk.testing.monitor_checks import DIGEST, toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

TEMPLATE = toy_records(1, calibration=toy_calibration())[0]


def answers(text: str, **changes: Any) -> list[Record]:
    """One record a letter: a agrees, d differs, u has no twin, r refused, x abstained."""
    kinds: dict[str, dict[str, Any]] = {
        "a": {"label": 3, "twin_label": 3},
        "d": {"label": 3, "twin_label": 4},
        "u": {"label": 3, "twin_label": None},
        "r": {"label": -1, "twin_label": None, "outcome": "refuse"},
        "x": {"label": 3, "twin_label": 3, "outcome": "abstain"},
    }
    return [
        msgspec.structs.replace(
            TEMPLATE, seq=i, id=str(i), **{"route": "canary", **kinds[k], **changes}
        )
        for i, k in enumerate(text)
    ]


def outcome(text: str, **settings: Any) -> tuple[int, Evidence] | None:
    monitor = AgreementMonitor(digest=DIGEST, **{"requests": 10, "limit": 0.7, **settings})
    found = [(i, e) for i, r in enumerate(answers(text), 1) if (e := monitor.update(r))]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("text", "verdict", "at"),
    [
        ("a" * 10, Verdict.PASS, 10),
        ("aaaaaaaddd", Verdict.PASS, 10),
        ("dddaaaaaaa", Verdict.PASS, 10),
        ("aaaaaadddd", Verdict.FAIL, 10),
        ("dddd", Verdict.FAIL, 4),
        ("adadadad", Verdict.FAIL, 8),
        ("u" * 10, Verdict.UNKNOWN, 10),
        ("aaa" + "u" * 10, Verdict.UNKNOWN, 13),
        ("rrr", Verdict.FAIL, 3),
        ("rr" + "a" * 10, Verdict.PASS, 12),
        ("xxxx" + "a" * 10, Verdict.PASS, 14),
        ("uuu" + "a" * 10 + "dddd", Verdict.PASS, 13),
    ],
)
def test_verdict_and_when(text: str, verdict: Verdict, at: int) -> None:
    found = outcome(text)
    assert found is not None
    number, evidence = found
    assert (number, evidence.verdict, evidence.rule) == (at, verdict, "HB-D004")
    agreed, differed = text[:at].count("a"), text[:at].count("d")
    if agreed + differed:
        assert evidence.value == agreed / (agreed + differed)
        assert evidence.interval == wilson(agreed, agreed + differed)
    else:
        assert evidence.value is None
        assert evidence.interval is None


@pytest.mark.parametrize("text", ["", "aaaaaaaaa", "ddd", "rr", "u" * 9, "x" * 50])
def test_says_nothing_before_the_end(text: str) -> None:
    assert outcome(text) is None


def test_counts_only_its_digest_and_routes() -> None:
    monitor = AgreementMonitor(digest=DIGEST, requests=5)
    for record in answers("d" * 20, digest="sha256:" + "1" * 64):
        assert monitor.update(record) is None
    for record in answers("d" * 40, route="primary")[20:]:
        assert monitor.update(record) is None
    assert sum(monitor.counts.values()) == 0
    both = AgreementMonitor(digest=DIGEST, routes=("canary", "primary"), requests=5)
    assert [e for e in map(both.update, answers("a" * 5, route="primary")) if e]


def test_a_share_of_exactly_the_limit_passes_whatever_the_rounding() -> None:
    for n in range(1, 60):
        for agreed in range(n + 1):
            found = outcome("d" * (n - agreed) + "a" * agreed, requests=n, limit=agreed / n)
            assert found is not None
            assert found[1].verdict is Verdict.PASS


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": 0},
        {"routes": ()},
        {"limit": 1.1},
        {"max_refused": -0.1},
        {"limit": float("nan")},
    ],
    ids=str,
)
def test_refuses_senseless_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        AgreementMonitor(digest=DIGEST, **wrong)
