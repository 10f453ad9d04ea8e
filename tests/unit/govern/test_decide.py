from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hauberk.core.digest import canonical_json, digest_json
from hauberk.core.errors import ConfigError, DataError, Denied, UnknownNameError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.spec import GateSpec
from hauberk.govern.decision import evidence_body
from hauberk.govern.policy import Policy, Requirement

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
GATE = GateSpec()
POLICY = Policy.from_gate(GATE, eps=0.15)


def claim(
    rule: str, value: float | None, verdict: Verdict = PASS, *, subject: str = "m", **spec: Any
) -> Evidence:
    return Evidence(
        rule=rule, subject=subject, verdict=verdict, message="measured", value=value, spec=spec
    )


GOOD = (
    claim("HB-E001", 0.5, eps_factor=1.0, eps=0.15),
    claim("HB-E002", 0.95),
    claim("HB-E003", 0.01),
    claim("HB-E004", 0.2),
    claim("HB-E005", 1.0),
    claim("HB-E007", 1e-5),
)


def with_(*changed: Evidence) -> list[Evidence]:
    rules = {item.rule for item in changed}
    return [item for item in GOOD if item.rule not in rules] + list(changed)


def test_every_rule_must_pass() -> None:
    decision = POLICY.decide(GOOD, at=5.0)
    assert decision.verdict is PASS
    assert decision.allowed
    assert (decision.subject, decision.policy, decision.at) == ("m", POLICY.digest, 5.0)
    assert decision.summary == "allowed: 6 passed"
    decision.raise_if_denied()


@pytest.mark.parametrize("missing", [item.rule for item in GOOD])
def test_a_rule_without_evidence_is_unknown_and_denied(missing: str) -> None:
    decision = POLICY.decide([item for item in GOOD if item.rule != missing], at=0.0)
    assert decision.verdict is UNKNOWN
    with pytest.raises(Denied, match=f"denied: 1 unknown, 5 passed; {missing} unknown: not run"):
        decision.raise_if_denied()


def test_no_evidence_at_all_is_denied() -> None:
    decision = POLICY.decide([], at=0.0)
    assert decision.verdict is UNKNOWN
    assert decision.summary == "denied: 6 unknown"


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (claim("HB-E002", 0.90), PASS),
        (claim("HB-E002", 0.899), FAIL),
        (claim("HB-E002", 0.899, FAIL), FAIL),
        (claim("HB-E003", 0.02), PASS),
        (claim("HB-E003", 0.021), FAIL),
        (claim("HB-E004", -0.001), FAIL),
        (claim("HB-E005", 0.0), FAIL),
        (claim("HB-E005", None, PASS), PASS),
        (claim("HB-E005", None, FAIL), FAIL),
        (claim("HB-E005", None, UNKNOWN), UNKNOWN),
        (claim("HB-E007", 0.01), FAIL),
        (claim("HB-E002", float("nan")), UNKNOWN),
        (claim("HB-E002", float("inf")), UNKNOWN),
        (claim("HB-E003", float("-inf")), UNKNOWN),
        (claim("HB-E005", float("nan"), PASS), UNKNOWN),
        (claim("HB-E002", None), UNKNOWN),
        (claim("HB-E002", 0.95, UNKNOWN), UNKNOWN),
        (claim("HB-E002", 0.5, UNKNOWN), FAIL),
        (claim("HB-E002", 0.95, FAIL), FAIL),
        (replace(claim("HB-E002", 0.95, FAIL), limit=0.90), FAIL),
        (replace(claim("HB-E002", 0.95, UNKNOWN), limit=0.99), UNKNOWN),
        (replace(claim("HB-E002", 0.95, FAIL), limit=0.99), PASS),  # a stricter limit of its own
        (claim("HB-E001", 0.39, eps_factor=1.0), FAIL),
    ],
)
def test_a_value_is_held_against_the_policys_limit(evidence: Evidence, verdict: Verdict) -> None:
    decision = POLICY.decide(with_(evidence), at=0.0)
    [row] = [row for row in decision.rows if row.rule == evidence.rule]
    assert row.verdict is verdict
    assert decision.verdict is verdict


def test_a_failure_outweighs_what_is_unknown() -> None:
    decision = POLICY.decide([claim("HB-E002", 0.1)], at=0.0)
    assert decision.verdict is FAIL
    assert decision.summary == "denied: 1 failed, 5 unknown"


@pytest.mark.parametrize(
    ("spec", "binds"),
    [
        ({"eps_factor": 1.0}, True),
        ({"eps_factor": 1}, True),
        ({"eps": 0.15}, True),
        ({"eps": 0.15000000001, "eps_factor": 1.0}, True),
        ({"eps_factor": 0.5}, False),
        ({"eps": 0.075}, False),
        ({"eps": 0.075, "eps_factor": 1.0}, False),
        ({"eps": 0.15, "eps_factor": 0.5}, False),
        ({}, False),
        ({"eps": "0.15"}, False),
        ({"eps_factor": True}, False),
        ({"eps": float("nan")}, False),
        ({"eps": None}, False),
    ],
)
def test_only_the_threats_own_radius_binds(spec: dict[str, Any], binds: bool) -> None:
    decision = POLICY.decide(with_(claim("HB-E001", 0.6, **spec)), at=0.0)
    assert decision.verdict is (PASS if binds else UNKNOWN)
    rows = [row for row in decision.rows if row.rule == "HB-E001"]
    assert [row.binding for row in rows] == ([True] if binds else [True, False])
    canonical_json(decision.body())


def test_other_radii_are_shown_and_decide_nothing() -> None:
    evidence = [
        *with_(claim("HB-E001", 0.5, eps_factor=1.0, eps=0.15)),
        claim("HB-E001", 0.7, eps_factor=0.5, eps=0.075),
        claim("HB-E001", 0.1, FAIL, eps_factor=1.5, eps=0.225),
        claim("HB-E001", 0.2, FAIL, eps_factor=1.5, eps=0.225),
    ]
    decision = POLICY.decide(evidence, at=0.0)
    assert decision.verdict is PASS
    shown = [(row.eps, row.measured, row.binding, row.verdict) for row in decision.rows[:3]]
    assert shown == [
        (0.15, 0.5, True, PASS),
        (0.075, 0.7, False, PASS),
        (0.225, 0.2, False, FAIL),
    ]


def test_without_a_radius_only_the_factor_tells() -> None:
    policy = Policy.from_gate(GATE)
    assert policy.decide(with_(claim("HB-E001", 0.5, eps=0.15)), at=0.0).verdict is UNKNOWN
    assert policy.decide(with_(claim("HB-E001", 0.5, eps_factor=1.0)), at=0.0).verdict is PASS


def test_the_newest_evidence_counts() -> None:
    for first, second, verdict in ((0.95, 0.1, FAIL), (0.1, 0.95, PASS)):
        evidence = with_(claim("HB-E002", first), claim("HB-E002", second))
        assert POLICY.decide(evidence, at=0.0).verdict is verdict


def test_evidence_about_another_subject_does_not_count() -> None:
    other = claim("HB-E002", 0.95, subject="other")
    with pytest.raises(DataError, match="2 subjects"):
        POLICY.decide([*GOOD, other], at=0.0)
    assert POLICY.decide([*GOOD, other], at=0.0, subject="m").verdict is PASS
    assert POLICY.decide(with_(other), at=0.0, subject="m").verdict is UNKNOWN
    assert POLICY.decide(GOOD, at=0.0, subject="nobody").verdict is UNKNOWN


@pytest.mark.parametrize(
    "requirements",
    [
        (),
        (Requirement("HB-E002", 0.9), Requirement("HB-E002", 0.1)),
        (Requirement("HB-E002"),),
        (Requirement("HB-E002", float("nan")),),
        (Requirement("HB-E003", float("inf")),),
    ],
)
def test_a_policy_that_would_let_anything_pass_is_an_error(
    requirements: tuple[Requirement, ...],
) -> None:
    with pytest.raises(ConfigError):
        Policy(requirements=requirements)


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="HB-X999"):
        Policy(requirements=(Requirement("HB-X999", 1.0),))


def test_the_digest_freezes_every_limit() -> None:
    policies = [
        POLICY,
        Policy.from_gate(GATE),
        Policy.from_gate(GATE, eps=0.1),
        Policy.from_gate(GateSpec(clean_accuracy=0.91), eps=0.15),
        Policy.from_gate(GateSpec(robust_accuracy=0.41), eps=0.15),
        Policy.from_gate(GateSpec(clean_drop=0.03), eps=0.15),
        Policy.from_gate(GateSpec(robust_gain=0.01), eps=0.15),
        Policy(requirements=POLICY.requirements[:-1], eps=0.15),
    ]
    assert len({policy.digest for policy in policies}) == len(policies)
    assert Policy.from_gate(GateSpec(), eps=0.15).digest == POLICY.digest


def test_a_decision_can_be_checked_from_its_body() -> None:
    decision = POLICY.decide(GOOD, at=5.0)
    body = decision.body()
    assert digest_json(body) == decision.digest
    assert body["evidence"] == [digest_json(evidence_body(item)) for item in GOOD]
    assert body["rows"][0]["measured"] == 0.5
    assert decision.digest != POLICY.decide(GOOD, at=6.0).digest


def test_evidence_becomes_plain_json() -> None:
    odd = Evidence(
        rule="HB-E002",
        subject="m",
        verdict=UNKNOWN,
        message="odd",
        value=float("nan"),
        interval=(0.1, float("inf")),
        spec={"n": 5, "object": object, "nan": float("nan"), "list": [1, "x"]},
    )
    body = evidence_body(odd)
    canonical_json(body)
    assert (body["value"], body["interval"]) == (None, [0.1, None])
    assert (body["spec"]["n"], body["spec"]["list"]) == (5, [1, "x"])
