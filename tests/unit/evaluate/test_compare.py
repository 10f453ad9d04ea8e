from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hauberk.core.errors import DataError, UserError
from hauberk.core.evidence import Verdict
from hauberk.core.model import Access
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.compare import compare
from hauberk.evaluate.result import AttackResult, Robustness


def _result(clean: int, robust: int, *, n: int = 100) -> Robustness:
    """The first ``clean`` of ``n`` are right, the first ``robust`` of them under attack."""
    right, stands = np.arange(n) < clean, np.arange(n) < robust
    return Robustness(
        name="toy",
        dataset="sha256:1",
        threat=ThreatModel(eps=0.1),
        seed=0,
        clean=right,
        eps=(0.1,),
        attacks=(
            AttackResult(
                name="pgd",
                needs=Access.GRADIENTS,
                parameters={"steps": 40},
                correct=stands[None],
                alone=stands[None],
            ),
        ),
    )


@pytest.mark.parametrize(
    ("before", "after", "drop", "gain"),
    [
        ((96, 0), (95, 60), Verdict.PASS, Verdict.PASS),
        ((96, 0), (93, 60), Verdict.FAIL, Verdict.PASS),
        ((96, 50), (96, 50), Verdict.PASS, Verdict.FAIL),
        ((96, 50), (96, 51), Verdict.PASS, Verdict.FAIL),
        ((96, 50), (99, 40), Verdict.PASS, Verdict.FAIL),
    ],
)
def test_verdicts(
    before: tuple[int, int], after: tuple[int, int], drop: Verdict, gain: Verdict
) -> None:
    lost, won = compare(_result(*before), _result(*after), subject="s")
    assert (lost.rule, lost.verdict) == ("HB-E003", drop)
    assert (won.rule, won.verdict) == ("HB-E004", gain)
    assert lost.value == pytest.approx((before[0] - after[0]) / 100)
    assert lost.interval is not None
    assert lost.value is not None
    assert lost.interval[0] <= lost.value <= lost.interval[1]
    assert won.interval is not None
    assert won.value == won.interval[0]
    assert won.interval[0] <= (after[1] - before[1]) / 100 <= won.interval[1]


def test_limits_are_the_callers() -> None:
    lost, won = compare(
        _result(96, 0), _result(90, 60), subject="s", clean_drop=0.1, robust_gain=0.9
    )
    assert (lost.verdict, lost.limit) == (Verdict.PASS, 0.1)
    assert (won.verdict, won.limit) == (Verdict.FAIL, 0.9)


def test_pairs_are_counted_not_averages() -> None:
    """The same accuracy on other samples is a wider interval than no change."""
    other = _result(96, 50)
    flipped = replace(
        other,
        attacks=(replace(other.attacks[0], correct=other.attacks[0].correct[:, ::-1].copy()),),
        clean=np.ones(100, dtype=np.bool_),
    )
    same, moved = (
        compare(_result(96, 50), after, subject="s")[1] for after in (_result(96, 50), flipped)
    )
    assert same.value is not None
    assert moved.value is not None
    assert moved.value < same.value
    assert moved.spec["lost"] == 50


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"dataset": "sha256:2"}, "same samples"),
        ({"threat": ThreatModel(eps=0.2)}, "linf:0.2"),
        ({"attacks": ()}, "attacked alike"),
    ],
)
def test_unlike_measurements_are_not_compared(changes: dict[str, object], what: str) -> None:
    with pytest.raises(DataError, match=what):
        compare(_result(96, 0), replace(_result(96, 0), **changes), subject="s")  # type: ignore[arg-type]


def test_weaker_parameters_are_not_compared() -> None:
    weak = _result(96, 60)
    weak = replace(weak, attacks=(replace(weak.attacks[0], parameters={"steps": 1}),))
    with pytest.raises(DataError, match="alike"):
        compare(_result(96, 0), weak, subject="s")


def test_the_threats_own_radius_must_have_been_evaluated() -> None:
    one, two = (replace(_result(96, 0), eps=(0.3,)) for _ in range(2))
    with pytest.raises(UserError, match=r"eps 0.1"):
        compare(one, two, subject="s")
