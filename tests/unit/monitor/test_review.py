from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hauberk.core.errors import UserError
from hauberk.core.evidence import Verdict
from hauberk.monitor.queue import choose
from hauberk.monitor.review import Label, ReviewTest
from hauberk.testing.monitor_checks import toy_calibration, toy_records

HONEST, OTHER = "ada", "bo"
CLASSES = 10


def said(
    case: int, label: int, by: str = HONEST, *, served: int = 0, stratum: Any = "random"
) -> Label:
    return Label(case=str(case), reviewer=by, label=label, served=served, stratum=stratum)


def confirm(
    errors: float, *, lies: float, rng: np.random.Generator, most: int = 500, second: bool = True
) -> tuple[str, int, int]:
    """The outcome, the cases and the labels: the first reviewer lies, the second does not."""
    test = ReviewTest(second=second)
    for case in range(most):
        truth = 0 if rng.random() >= errors else int(rng.integers(1, CLASSES))
        label = int(rng.integers(1, CLASSES)) if rng.random() < lies else truth
        if not test.take(said(case, label)) and second:
            test.take(said(case, truth, OTHER))
        if test.outcome() != "open":
            return test.outcome(), case + 1, test.labels
    return test.outcome(), most, test.labels


def test_twenty_percent_errors_are_confirmed_by_forty_five_labels() -> None:
    rng = np.random.default_rng(0)
    runs = [confirm(0.2, lies=0.0, rng=rng, second=False) for _ in range(300)]
    assert {outcome for outcome, _, _ in runs} == {"confirmed"}
    assert np.median([labels for _, _, labels in runs]) <= 45


def test_a_reviewer_who_lies_a_fifth_of_the_time_confirms_no_false_incident() -> None:
    rng = np.random.default_rng(1)
    runs = [confirm(0.02, lies=0.2, rng=rng, most=120)[0] for _ in range(1000)]
    assert "confirmed" not in runs
    assert runs.count("dismissed") > 900


def test_without_a_second_reviewer_the_lies_would_confirm() -> None:
    rng = np.random.default_rng(2)
    runs = [confirm(0.02, lies=0.2, rng=rng, most=120, second=False)[0] for _ in range(50)]
    assert runs.count("confirmed") > 10


def test_no_false_confirmation_at_the_base_error() -> None:
    rng = np.random.default_rng(3)
    runs = [confirm(0.03, lies=0.0, rng=rng, most=300, second=False)[0] for _ in range(400)]
    assert runs.count("confirmed") <= 1


def test_suspect_requests_are_held_against_their_own_base() -> None:
    test = ReviewTest(second=False)
    for case in range(60):
        test.take(said(case, int(case % 4 == 0), stratum="suspect"))  # a quarter, as always
    assert test.outcome() == "open"
    for case in range(60, 90):
        test.take(said(case, 1, stratum="suspect"))
    assert test.outcome() == "confirmed"


def test_one_reviewer_counts_once_for_a_case_and_a_doubtful_case_is_no_error() -> None:
    test = ReviewTest()
    assert not test.take(said(1, 5))
    assert not test.take(said(1, 5))
    assert test.waiting == ("1",)
    assert test.take(said(1, 0, OTHER))
    assert test.settled == (1, 0)
    assert not test.take(said(2, 5))
    assert not test.take(said(2, 6, OTHER))  # both say wrong, but not the same
    assert test.take(said(2, 6, "cy"))
    assert test.settled == (2, 1)


def test_reviewers_agree_or_not() -> None:
    test = ReviewTest()
    assert test.agreement() is None
    for case in range(20):
        for by in (HONEST, OTHER):
            test.take(said(case, case % 2, by))
    assert test.agreement() == pytest.approx(1.0)
    rng, other = np.random.default_rng(0), ReviewTest()
    for case in range(400):
        for by in (HONEST, OTHER):
            other.take(said(case, int(rng.integers(2)), by))
    found = other.agreement()
    assert found is not None
    assert abs(found) < 0.15


def test_the_verdict_says_what_it_rests_on() -> None:
    test = ReviewTest()
    assert test.verdict("sha256:x", at=1.0).verdict is Verdict.UNKNOWN
    for case in range(40):
        test.take(said(case, 3))
        test.take(said(case, 3, OTHER))
    found = test.verdict("sha256:x", at=1.0)
    assert (found.verdict, found.rule) == (Verdict.FAIL, "HB-D013")
    assert found.spec["reviewers"] == [HONEST, OTHER]
    assert "40 of 40" in found.message


@pytest.mark.parametrize(
    "wrong",
    [{"base_error": {"random": 0.0}}, {"evidence": 1.0}, {"harm": 1.0}],
    ids=str,
)
def test_refuses_senseless_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        ReviewTest(**wrong)


def test_an_unknown_kind_of_request_is_refused() -> None:
    with pytest.raises(UserError):
        ReviewTest(base_error={"random": 0.1}).take(said(1, 1, stratum="suspect"))


def test_the_queue_mixes_the_strangest_with_chance_and_no_client_fills_it() -> None:
    import msgspec

    calibration = toy_calibration()
    records = [
        msgspec.structs.replace(
            r,
            outcome="flag" if r.label else "pass",
            principal="loud" if r.label and r.seq % 5 else r.principal,
        )
        for r in toy_records(400, calibration=calibration, attacked=0.3)
    ]
    cases = choose(records, count=20, rng=np.random.default_rng(0))
    strata = [case.stratum for case in cases]
    assert strata.count("random") == strata.count("suspect") == 10
    assert strata[:4] == ["suspect", "random", "suspect", "random"]
    loud = [c for c in cases if c.stratum == "suspect" and c.record.principal == "loud"]
    assert len(loud) < 10
    assert len({case.name for case in cases}) == 20
    assert choose([], count=5, rng=np.random.default_rng(0)) == []
