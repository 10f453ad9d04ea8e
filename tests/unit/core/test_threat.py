"""The attacker's budget."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import UserError
from hauberk.core.model import Bounds
from hauberk.core.threat import ThreatModel


@pytest.mark.parametrize(
    ("text", "norm", "eps"),
    [
        ("linf:8/255", "linf", 8 / 255),
        ("l2:0.5", "l2", 0.5),
        ("l0:3", "l0", 3.0),
        ("l1:0", "l1", 0.0),
    ],
)
def test_texts_are_read(text: str, norm: str, eps: float) -> None:
    threat = ThreatModel.parse(text)
    assert (threat.norm, threat.eps) == (norm, eps)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linf",
        "linf:",
        "linf:x",
        "l3:1",
        ":1",
        "linf:-1",
        "linf:1/0",
        "linf:nan",
        "linf:inf",
        "linf:1/2/3",
        "LINF:1",
    ],
)
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        ThreatModel.parse(text)
    assert "\n" not in str(caught.value)


@given(st.sampled_from(["linf", "l2", "l1", "l0"]), st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_what_is_printed_reads_back(norm: str, eps: int) -> None:
    threat = ThreatModel(norm=norm, eps=eps / 8)  # type: ignore[arg-type]
    assert ThreatModel.parse(str(threat)) == threat


@pytest.mark.parametrize("queries", [0, -1])
def test_a_budget_of_no_queries_is_refused(queries: int) -> None:
    with pytest.raises(UserError):
        ThreatModel(queries=queries)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_empty_bounds_are_refused(low: float, high: float) -> None:
    with pytest.raises(UserError):
        Bounds(low, high)
