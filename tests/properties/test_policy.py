"""The gate allows if, and only if, the newest evidence of every required rule passes."""

from __future__ import annotations

from math import isfinite
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.digest import canonical_json, digest_json
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.spec import GateSpec
from hauberk.govern.policy import Policy

EPS = 0.15
LIMITS = {
    "HB-E001": (">=", 0.40),
    "HB-E002": (">=", 0.90),
    "HB-E003": ("<=", 0.02),
    "HB-E004": (">=", 0.0),
    "HB-E005": ("==", 1.0),
    "HB-E007": ("<=", 1e-3),
}
POLICY = Policy.from_gate(GateSpec(), eps=EPS)

ANY_VALUE = st.one_of(
    st.none(),
    st.sampled_from([0.0, 1e-3, 0.02, 0.40, 0.90, 1.0]),
    st.floats(allow_nan=True, allow_infinity=True),
)
ANY_SPEC = st.one_of(
    st.just({"eps": EPS, "eps_factor": 1.0}),
    st.sampled_from([{}, {"eps": 0.3}, {"eps_factor": 0.5}, {"eps": EPS, "eps_factor": 1.5}]),
)
EVIDENCE = st.builds(
    Evidence,
    rule=st.sampled_from([*LIMITS, "HB-E006", "HB-D001"]),
    subject=st.just("model"),
    verdict=st.sampled_from(Verdict),
    message=st.text(max_size=5),
    value=ANY_VALUE,
    spec=ANY_SPEC,
)


@st.composite
def nearly_good(draw: st.DrawFn) -> list[Evidence]:
    """Evidence that passes everything, with some noise before, between and after."""
    good = [
        Evidence(
            rule=rule,
            subject="model",
            verdict=Verdict.PASS,
            message="",
            value=limit,
            spec={"eps": EPS, "eps_factor": 1.0},
        )
        for rule, (_, limit) in LIMITS.items()
    ]
    noise = draw(st.lists(EVIDENCE, max_size=3))
    return draw(st.permutations(good + noise))


def passes(item: Evidence) -> bool:
    """What a reader of the rules would say, written without the policy's code."""
    sign, limit = LIMITS[item.rule]
    if item.verdict is not Verdict.PASS:
        return False  # none here states a limit of its own
    if item.value is None:
        return sign == "=="
    if not isfinite(item.value):
        return False
    return {">=": item.value >= limit, "<=": item.value <= limit, "==": item.value == limit}[sign]


def newest(evidence: list[Evidence], rule: str) -> Evidence | None:
    def counts(spec: Any) -> bool:
        return rule != "HB-E001" or spec == {"eps": EPS, "eps_factor": 1.0}

    return next((e for e in reversed(evidence) if e.rule == rule and counts(e.spec)), None)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.lists(EVIDENCE, max_size=12), nearly_good()))
def test_allowed_if_and_only_if_every_rule_newest_passes(evidence: list[Evidence]) -> None:
    decision = POLICY.decide(evidence, at=0.0)
    found = [newest(evidence, rule) for rule in LIMITS]
    assert decision.allowed == all(item is not None and passes(item) for item in found)
    if None in found:
        assert not decision.allowed
    assert digest_json(decision.body()) == decision.digest
    canonical_json(decision.body())


@settings(deadline=None, max_examples=60)
@given(nearly_good(), st.sampled_from(sorted(LIMITS)))
def test_taking_evidence_of_a_rule_away_never_allows(evidence: list[Evidence], rule: str) -> None:
    left = [item for item in evidence if item.rule != rule]
    assert not POLICY.decide(left, at=0.0, subject="model").allowed
